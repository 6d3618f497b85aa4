// What a screen reader is told. The streamed text itself is no live region: each token would interrupt
// the one before. Whole sentences go into a log of their own as they are complete.

import { byId, element } from "./dom.js";

const SENTENCE = /[^.!?\n]+(?:[.!?]+(?=\s)|\n)/g;

/** Speaks an answer while it grows. */
export class Speech {
  #log = byId("speech");
  #spoken = 0;

  /** A new answer begins. */
  start() {
    this.#log.replaceChildren();
    this.#spoken = 0;
    this.say("Answering.");
  }

  /** Speaks the sentences that have been completed since the last call. */
  follow(text) {
    for (const [sentence] of text.slice(this.#spoken).matchAll(SENTENCE)) {
      this.#spoken += sentence.length;
      this.say(sentence.trim());
    }
  }

  /** Speaks the rest and how it ended. */
  finish(text, ending) {
    this.follow(text);
    this.say(text.slice(this.#spoken).trim());
    this.say(ending);
  }

  /** Speaks a text as it is. */
  say(text) {
    if (text) this.#log.append(element("p", {}, text));
  }
}
