// The form at the bottom: a question and the pictures that go with it.

import { byId, element, touch } from "./dom.js";
import { figure } from "./turn_view.js";

export const FIRST_QUESTION = "Describe this image in detail.";

/** `send` is called with a question and its pictures, `stop` while an answer is coming. */
export class Composer {
  pictures = [];
  #field = byId("question");
  #button = byId("send");
  #send;
  #stop;
  #changed;
  #answering = false;

  constructor({ send, stop, changed }) {
    this.#send = send;
    this.#stop = stop;
    this.#changed = changed;
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter belongs to it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#answering) this.#submit();
    });
    for (const button of document.querySelectorAll("[data-question]")) {
      button.addEventListener("click", () => this.#sendSuggestion(button.textContent));
    }
  }

  /** What is typed. */
  get question() {
    return this.#field.value.trim();
  }

  /** While an answer is coming the button stops it. */
  set answering(answering) {
    this.#answering = answering;
    this.#button.textContent = answering ? "Stop" : "Ask";
    this.#button.classList.toggle("stop", answering);
    byId("suggestions").hidden = answering;
  }

  /** Adds pictures to the next question; `firstNumber` is the first one's number. */
  add(pictures, firstNumber) {
    this.pictures.push(...pictures);
    this.renumber(firstNumber);
  }

  /** A question to start from, selected so that typing replaces it. */
  suggest(question) {
    this.#field.value = question;
    this.focus();
    this.#field.select();
  }

  /** Ready for typing; not where that would push a keyboard over what there is to see. */
  focus() {
    if (!touch) this.#field.focus({ preventScroll: true });
  }

  /** Suggests only what can be answered about so many pictures. */
  set seen(pictures) {
    for (const button of document.querySelectorAll("[data-question]")) {
      const about = Number(button.dataset.pictures);
      button.hidden = Math.min(pictures, 2) !== about;
    }
  }

  /** Takes back a question that was sent. */
  restore(question, pictures, firstNumber) {
    this.pictures = [...pictures, ...this.pictures];
    this.#field.value = question;
    this.focus();
    this.renumber(firstNumber);
  }

  /** Empties the form. */
  clear() {
    this.pictures = [];
    this.#field.value = "";
    this.renumber(1);
  }

  /** Shows the pictures, counting from `firstNumber`. */
  renumber(firstNumber) {
    const list = byId("tray");
    list.hidden = !this.pictures.length;
    list.replaceChildren(...this.pictures.map((picture, index) => this.#item(picture, firstNumber + index)));
    this.#changed();
  }

  #item(picture, number) {
    const remove = () => {
      this.pictures = this.pictures.filter((other) => other !== picture);
      picture.release();
      this.renumber(number - [...byId("tray").children].indexOf(item));
      this.#field.focus();
    };
    const item = element(
      "li",
      {},
      ...figure(picture, number),
      element("button", { type: "button", class: "remove", "aria-label": `Remove picture ${number}`, click: remove }, "×"),
    );
    return item;
  }

  // What is half typed is kept for afterwards.
  #sendSuggestion(question) {
    const draft = this.question === FIRST_QUESTION ? "" : this.#field.value;
    this.#send(question, this.pictures);
    this.#field.value = draft;
  }

  #submit() {
    if (this.#answering) {
      this.#stop();
      return;
    }
    if (!this.question) {
      this.#field.focus();
      return;
    }
    this.#send(this.question, this.pictures);
  }
}
