// A turn as elements: the question with its pictures, the answer, its figures, what can be done.

import { State } from "./conversation.js";
import { copy, element } from "./dom.js";
import { render } from "./markdown.js";

/** Shows one turn; `actions` are called for Retry, Edit and Code. */
export class TurnView {
  #turn;
  #answer = element("div", { class: "prose" });
  #failure = element("div", { class: "failure", role: "alert", hidden: true });
  #figures = element("p", { class: "figures" });
  #buttons;

  constructor(turn, firstNumber, actions) {
    this.#turn = turn;
    this.#buttons = {
      retry: element("button", { type: "button", click: actions.retry }, "Retry"),
      edit: element("button", { type: "button", click: actions.edit }, "Edit"),
      copy: element("button", { type: "button", click: ({ target }) => copy(turn.answer, target) }, "Copy"),
      code: element("button", { type: "button", click: actions.code }, "Code"),
    };
    this.node = element(
      "li",
      { class: "turn", tabindex: "-1" },
      question(turn, firstNumber),
      element("h3", { class: "hidden-visually" }, "Answer"),
      this.#answer,
      this.#failure,
      element("div", { class: "under" }, this.#figures, element("div", { class: "actions" }, ...Object.values(this.#buttons))),
    );
    this.update(true);
  }

  /** Brings the elements up to date. `last`: only the last turn can be retried or edited. */
  update(last) {
    const { state, answer } = this.#turn;
    const answering = state === State.ANSWERING;
    this.node.dataset.state = state;
    this.#answer.setAttribute("aria-busy", String(answering));
    if (!answering && !answer && state === State.DONE) render(this.#answer, "*The model had nothing to say.*");
    else render(this.#answer, answer);
    this.#showFailure();
    this.#figures.replaceChildren(...figures(this.#turn).map((text) => element("span", {}, text)));
    this.#buttons.retry.hidden = answering || !last;
    this.#buttons.edit.hidden = answering || !last;
    this.#buttons.copy.hidden = answering || !answer;
    this.#buttons.code.hidden = answering;
  }

  #showFailure() {
    const { error } = this.#turn;
    this.#failure.hidden = !error;
    if (!error) {
      this.#failure.replaceChildren();
    } else if (!this.#failure.hasChildNodes()) {
      const detail = error.detail ? element("p", {}, error.detail) : null;
      const note = element("p", { class: "note" }, "Later questions go out without this turn.");
      this.#failure.replaceChildren(...[element("p", {}, element("strong", {}, error.message)), detail, note].filter(Boolean));
    }
  }
}

/** A picture as it stands in a turn or on the wall; what the browser cannot show is named. */
export function figure(picture, number) {
  const label = `Picture ${number}: ${picture.name}`;
  const image = picture.visible
    ? element("img", { src: picture.preview, alt: label })
    : element("span", { class: "unseen", role: "img", "aria-label": label }, picture.name);
  return [image, element("span", { class: "number", "aria-hidden": "true" }, String(number))];
}

function question(turn, firstNumber) {
  const thumbs = turn.pictures.map((picture, index) => element("li", {}, ...figure(picture, firstNumber + index)));
  return element(
    "div",
    { class: "question" },
    element("h3", { class: "hidden-visually" }, "Question"),
    thumbs.length ? element("ul", { class: "thumbs", "aria-label": "Pictures of this question" }, ...thumbs) : null,
    element("p", {}, turn.question),
  );
}

function figures({ state, timing, usage, finishReason, sampling }) {
  const result = [];
  if (timing.firstToken !== null) result.push(`first token ${seconds(timing.firstToken)}`);
  if (timing.tokensPerSecond !== null) result.push(`${rate(timing.tokensPerSecond)} tokens/s`);
  if (usage) {
    const { cached_tokens: cached, multimodal_tokens: media } = usage.prompt_tokens_details ?? {};
    const parts = [media?.image && `${media.image} image`, cached && `${cached} cached`].filter(Boolean);
    result.push(`${usage.prompt_tokens} tokens in${parts.length ? ` (${parts.join(", ")})` : ""}`);
    result.push(`${usage.completion_tokens} out${sampling.use_beam_search ? ", all beams" : ""}`);
  }
  if (state === State.STOPPED) result.push("stopped by you");
  else if (finishReason === "length") result.push("ended at the length limit");
  return result;
}

function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

function rate(value) {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}
