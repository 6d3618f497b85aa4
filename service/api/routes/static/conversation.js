// The conversation as data and as messages for the API. It exists only in this tab.

/** The state of a turn. A failed turn is shown, but later requests do not contain it. */
export const State = Object.freeze({
  ANSWERING: "answering",
  DONE: "done",
  STOPPED: "stopped",
  FAILED: "failed",
});

/** A question with its pictures, its answer or error, and its statistics. */
export class Turn {
  constructor(question, pictures) {
    this.question = question;
    this.pictures = pictures;
    this.seen = pictures; // with those of the turns before
    this.reset();
  }

  /** Removes the answer, to ask again. */
  reset() {
    this.state = State.ANSWERING;
    this.answer = "";
    this.boxes = [];
    this.error = null;
    this.usage = null;
    this.finishReason = null;
    this.timing = { firstToken: null, tokensPerSecond: null };
    this.sampling = {};
  }

  /** The user's message. Pictures come first, as in MiniGPT-4's training. */
  get message() {
    if (!this.pictures.length) return { role: "user", content: this.question };
    const images = this.pictures.map((picture) => picture.part);
    return { role: "user", content: [...images, { type: "text", text: this.question }] };
  }

  /** The user's message and the model's. */
  get messages() {
    return [this.message, { role: "assistant", content: this.answer }];
  }
}

/** All turns, oldest first. */
export class Conversation {
  turns = [];

  /** The last turn, or undefined. */
  get last() {
    return this.turns.at(-1);
  }

  /** The turns that later requests contain: those with a complete or a stopped answer. */
  get answered() {
    return this.turns.filter((turn) => turn.state === State.DONE || turn.state === State.STOPPED);
  }

  /** The pictures that the next request contains, in the order in which the model sees them. */
  get pictures() {
    return this.turns.filter((turn) => turn.state !== State.FAILED).flatMap((turn) => turn.pictures);
  }

  /** All pictures, including those of failed turns. */
  get allPictures() {
    return this.turns.flatMap((turn) => turn.pictures);
  }

  /** Builds the messages of the request for `turn`: all answered turns before it, then `turn`. */
  buildMessages(turn) {
    const history = this.#answeredBefore(turn).flatMap((other) => other.messages);
    return [...history, turn.message];
  }

  /** The pictures of the request for `turn`, in the order in which the model sees them. */
  picturesUntil(turn) {
    return [...this.#answeredBefore(turn), turn].flatMap((other) => other.pictures);
  }

  #answeredBefore(turn) {
    const position = this.turns.indexOf(turn);
    return this.answered.filter((other) => position < 0 || this.turns.indexOf(other) < position);
  }

  /** Builds an export: messages that can be sent again, and the statistics of each turn. */
  export(model, time) {
    const messages = this.answered.flatMap((turn) => turn.messages);
    const turns = this.turns.map((turn) => ({
      question: turn.question,
      images: turn.pictures.map(({ name, size, width, height }) => ({ name, bytes: size, width, height })),
      answer: turn.answer,
      boxes: turn.boxes,
      state: turn.state,
      error: turn.error && { message: turn.error.message, detail: turn.error.detail },
      finish_reason: turn.finishReason,
      sampling: turn.sampling,
      usage: turn.usage,
      seconds_to_first_token: turn.timing.firstToken,
      tokens_per_second: turn.timing.tokensPerSecond,
    }));
    return { exported_at: time.toISOString(), model, messages, turns };
  }
}
