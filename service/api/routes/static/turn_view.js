// Shows a turn: the question with its pictures, the answer, its statistics, and the buttons.

import { createBoxedPicture } from "./boxes.js";
import { State } from "./conversation.js";
import { copyText, create } from "./dom.js";
import { renderMarkdown } from "./markdown.js";
import { createZoomButton } from "./zoom.js";

/** The elements of one turn. `actions` has the listeners of Retry, Edit and Code. */
export class TurnView {
  #turn;
  #answer = create("div", { class: "prose" });
  #boxes = create("div", {});
  #failure = create("div", { class: "failure", role: "alert", hidden: true });
  #stats = create("p", { class: "stats" });
  #buttons;

  constructor(turn, firstNumber, actions) {
    this.#turn = turn;
    this.#buttons = {
      retry: create("button", { type: "button", click: actions.retry }, "Retry"),
      edit: create("button", { type: "button", click: actions.edit }, "Edit"),
      copy: create("button", { type: "button", click: ({ target }) => copyText(turn.answer, target) }, "Copy"),
      code: create("button", { type: "button", click: actions.code }, "Code"),
    };
    this.node = create(
      "li",
      { class: "turn", tabindex: "-1" },
      createQuestion(turn, firstNumber),
      create("h3", { class: "hidden-visually" }, "Answer"),
      this.#answer,
      this.#boxes,
      this.#failure,
      create("div", { class: "actions" }, ...Object.values(this.#buttons)),
      this.#stats,
    );
    this.update(true);
  }

  /** Updates the elements. Only the last turn can be retried or edited. */
  update(last) {
    const { state, answer } = this.#turn;
    const answering = state === State.ANSWERING;
    this.node.dataset.state = state;
    this.#answer.setAttribute("aria-busy", String(answering));
    const empty = !answer && state === State.DONE;
    renderMarkdown(this.#answer, empty ? "*The model gave an empty answer.*" : answer);
    this.#showBoxes();
    this.#showFailure();
    this.#stats.replaceChildren(...listStats(this.#turn).map((text) => create("span", {}, text)));
    this.#buttons.retry.hidden = answering || !last;
    this.#buttons.edit.hidden = answering || !last;
    this.#buttons.copy.hidden = answering || !answer;
    this.#buttons.code.hidden = answering;
  }

  #showBoxes() {
    const { boxes, seen } = this.#turn;
    const picture = boxes.length ? seen[boxes[0].image] : null;
    this.#boxes.replaceChildren(...(picture?.visible ? [createBoxedPicture(picture, boxes)] : []));
  }

  #showFailure() {
    const { error } = this.#turn;
    this.#failure.hidden = !error;
    if (!error) {
      this.#failure.replaceChildren();
    } else if (!this.#failure.hasChildNodes()) {
      const detail = error.detail ? create("p", {}, error.detail) : null;
      const note = create("p", { class: "note" }, "Later requests do not include this question.");
      this.#failure.replaceChildren(...[create("p", {}, create("strong", {}, error.message)), detail, note].filter(Boolean));
    }
  }
}

/** Creates a picture's preview, or its name if the browser cannot show it, and its number. */
export function createPreview(picture, number) {
  const label = `Picture ${number}: ${picture.name}`;
  const image = picture.visible
    ? create("img", { src: picture.preview, alt: label })
    : create("span", { class: "no-preview", role: "img", "aria-label": label }, picture.name);
  return [image, create("span", { class: "number", "aria-hidden": "true" }, String(number))];
}

function createQuestion(turn, firstNumber) {
  const thumbs = turn.pictures.map((picture, index) => {
    const number = firstNumber + index;
    return create("li", {}, ...createPreview(picture, number), createZoomButton(picture, number));
  });
  return create(
    "div",
    { class: "question" },
    create("h3", { class: "hidden-visually" }, "Question"),
    thumbs.length ? create("ul", { class: "thumbs", "aria-label": "Pictures of this question" }, ...thumbs) : null,
    create("p", {}, turn.question),
  );
}

function listStats({ state, timing, usage, finishReason, sampling }) {
  const result = [];
  if (timing.firstToken !== null) result.push(`first token ${formatSeconds(timing.firstToken)}`);
  if (timing.tokensPerSecond !== null) result.push(`${formatRate(timing.tokensPerSecond)} tokens/s`);
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

function formatSeconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

function formatRate(value) {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}
