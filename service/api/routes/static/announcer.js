// Announces an answer to screen readers. The streamed text is not a live region, because each token
// would interrupt the one before. Instead, each complete sentence is added to a hidden log.

import { byId, create } from "./dom.js";

const SENTENCE = /[^.!?\n]+(?:[.!?]+(?=\s)|\n)/g;

/** Announces one answer at a time. */
export class Announcer {
  #log = byId("announcements");
  #announced = 0;

  /** Begins a new answer. */
  start() {
    this.#log.replaceChildren();
    this.#announced = 0;
    this.#announce("Answering.");
  }

  /** Announces the sentences of `text` that are complete since the last call. */
  update(text) {
    for (const [sentence] of text.slice(this.#announced).matchAll(SENTENCE)) {
      this.#announced += sentence.length;
      this.#announce(sentence.trim());
    }
  }

  /** Announces the rest of `text` and then `ending`. */
  finish(text, ending) {
    this.update(text);
    this.#announce(text.slice(this.#announced).trim());
    this.#announce(ending);
  }

  #announce(text) {
    if (text) this.#log.append(create("p", {}, text));
  }
}
