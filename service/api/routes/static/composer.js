// The form at the bottom of the page: a question and its pictures.

import { byId, create, isTouchScreen } from "./dom.js";
import { createPreview } from "./turn_view.js";

export const FIRST_QUESTION = "Describe this image in detail.";

/**
 * The form. Calls `onSend` with a question and its pictures, `onStop` to stop an answer,
 * `onChange` when its pictures change, and `onCancelEdit` when the user does not want to edit.
 */
export class Composer {
  pictures = [];
  #field = byId("question");
  #button = byId("send");
  #onSend;
  #onStop;
  #onChange;
  #answering = false;

  constructor({ onSend, onStop, onChange, onCancelEdit }) {
    this.#onSend = onSend;
    this.#onStop = onStop;
    this.#onChange = onChange;
    byId("editing-cancel").addEventListener("click", onCancelEdit);
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // With an input method (such as for Japanese), Enter first completes the composed text.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#answering) this.#submit();
    });
    for (const button of document.querySelectorAll("[data-question]")) {
      button.addEventListener("click", () => this.#sendSuggestion(button.textContent));
    }
  }

  /** The typed question. */
  get question() {
    return this.#field.value.trim();
  }

  /** During an answer, the button stops it. */
  set answering(answering) {
    this.#answering = answering;
    this.#button.textContent = answering ? "Stop" : "Ask";
    this.#button.classList.toggle("stop", answering);
    byId("suggestions").hidden = answering;
  }

  /** Adds pictures to the next question; the question's first picture gets `firstNumber`. */
  add(pictures, firstNumber) {
    this.pictures.push(...pictures);
    this.renumber(firstNumber);
  }

  /** Fills in a question and selects it, so that typing replaces it. */
  suggest(question) {
    this.#field.value = question;
    this.focus();
    this.#field.select();
  }

  /** Focuses the field, but not on a touch screen, where the keyboard would cover the page. */
  focus() {
    if (!isTouchScreen) this.#field.focus({ preventScroll: true });
  }

  /** Shows only the suggestions that fit the number of pictures in the conversation. */
  set pictureCount(count) {
    for (const button of document.querySelectorAll("[data-question]")) {
      button.hidden = Math.min(count, 2) !== Number(button.dataset.pictures);
    }
  }

  /** Whether the form holds a question that was sent before. */
  set editing(editing) {
    byId("editing").hidden = !editing;
  }

  /** Replaces the content of the form; its first picture gets `firstNumber`. */
  fill({ question, pictures }, firstNumber) {
    this.pictures = [...pictures];
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

  /** Shows the pictures, numbered from `firstNumber`. */
  renumber(firstNumber) {
    const list = byId("attachments");
    list.hidden = !this.pictures.length;
    list.replaceChildren(...this.pictures.map((picture, index) => this.#createItem(picture, firstNumber + index)));
    this.#onChange();
  }

  #createItem(picture, number) {
    const remove = () => {
      this.pictures = this.pictures.filter((other) => other !== picture);
      this.renumber(number - [...byId("attachments").children].indexOf(item));
      this.#field.focus();
    };
    const item = create(
      "li",
      {},
      ...createPreview(picture, number),
      create("button", { type: "button", class: "remove", "aria-label": `Remove picture ${number}`, click: remove }, "×"),
    );
    return item;
  }

  // Sends the suggestion and keeps what the user has typed.
  #sendSuggestion(question) {
    const draft = this.question === FIRST_QUESTION ? "" : this.#field.value;
    this.#onSend(question, this.pictures);
    this.#field.value = draft;
  }

  #submit() {
    if (this.#answering) {
      this.#onStop();
      return;
    }
    if (!this.question) {
      this.#field.focus();
      return;
    }
    this.#onSend(this.question, this.pictures);
  }
}
