// The conversation as data, and as the messages that the API takes. It lives in this tab only.

/** Where a turn is. A failed turn is shown, but no later request carries it. */
export const State = Object.freeze({
  ANSWERING: "answering",
  DONE: "done",
  STOPPED: "stopped",
  FAILED: "failed",
});

/** A question with its pictures, and what came of it. */
export class Turn {
  constructor(question, pictures) {
    this.question = question;
    this.pictures = pictures;
    this.reset();
  }

  /** Back to before the answer. */
  reset() {
    this.state = State.ANSWERING;
    this.answer = "";
    this.error = null;
    this.usage = null;
    this.finishReason = null;
    this.timing = { firstToken: null, tokensPerSecond: null };
    this.sampling = {};
  }

  /** The user's message: pictures first, as MiniGPT-4 was trained. */
  get message() {
    if (!this.pictures.length) return { role: "user", content: this.question };
    const images = this.pictures.map((picture) => picture.part);
    return { role: "user", content: [...images, { type: "text", text: this.question }] };
  }
}

/** All turns, oldest first. */
export class Conversation {
  turns = [];

  /** The last turn, if there is one. */
  get last() {
    return this.turns.at(-1);
  }

  /** The turns that later requests carry: answered, also partly. */
  get kept() {
    return this.turns.filter((turn) => turn.state === State.DONE || turn.state === State.STOPPED);
  }

  /** The pictures that the next request carries, in the order in which the model sees them. */
  get pictures() {
    return this.turns.filter((turn) => turn.state !== State.FAILED).flatMap((turn) => turn.pictures);
  }

  /** Those of failed turns too. */
  get everyPicture() {
    return this.turns.flatMap((turn) => turn.pictures);
  }

  /** The messages that ask `turn`: what was kept before it, images included, and its question. */
  messagesFor(turn) {
    const position = this.turns.indexOf(turn);
    const before = this.kept.filter((kept) => position < 0 || this.turns.indexOf(kept) < position);
    const history = before.flatMap((kept) => [kept.message, { role: "assistant", content: kept.answer }]);
    return [...history, turn.message];
  }

  /** A file's worth: messages that can be sent again, and what was measured. */
  export(model, time) {
    const messages = this.kept.flatMap((turn) => [
      turn.message,
      { role: "assistant", content: turn.answer },
    ]);
    const turns = this.turns.map((turn) => ({
      question: turn.question,
      images: turn.pictures.map(({ name, size, width, height }) => ({ name, bytes: size, width, height })),
      answer: turn.answer,
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
