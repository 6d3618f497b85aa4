// Sends the request of one turn and adds the streamed answer to the turn. Knows no elements.

import { State } from "./conversation.js";

// Two times closer together than this (in seconds) are too close for a rate.
const SHORTEST_SPAN = 0.01;

/** Builds the body of a request. */
export function buildRequest(model, messages, sampling) {
  return { model, messages, ...sampling };
}

/**
 * Streams the answer of `turn` and calls `onChange` after each piece. Never throws: it stores an
 * error in the turn.
 */
export async function streamAnswer(service, turn, body, signal, onChange) {
  const clock = new Clock();
  // Ask for the usage with each chunk, so that a stopped answer has statistics too.
  const stream_options = { include_usage: true, continuous_usage_stats: true };
  try {
    for await (const chunk of service.chat({ ...body, stream: true, stream_options }, signal)) {
      addChunk(turn, chunk, clock);
      onChange();
    }
    turn.state = State.DONE;
  } catch (error) {
    recordFailure(turn, error, signal.aborted);
  }
  onChange();
}

function addChunk(turn, chunk, clock) {
  // With beam search, the answer contains all beams; the best beam is the first.
  const choice = chunk.choices.find(({ index }) => index === 0);
  turn.answer += choice?.delta.content ?? "";
  turn.finishReason = choice?.finish_reason ?? turn.finishReason;
  turn.boxes = choice?.boxes ?? turn.boxes;
  turn.usage = chunk.usage ?? turn.usage;
  if (choice && (chunk.usage?.completion_tokens || choice.delta.content)) clock.recordToken();
  turn.timing = clock.measure(turn.usage?.completion_tokens);
}

function recordFailure(turn, error, aborted) {
  if (!aborted) {
    turn.state = State.FAILED;
    turn.error = error;
  } else if (turn.answer) {
    turn.state = State.STOPPED;
  } else {
    turn.state = State.FAILED;
    turn.error = { message: "Stopped before the answer began.", detail: "" };
  }
}

// Measures seconds in the browser, so they include the network.
class Clock {
  #start = performance.now();
  #first = null;
  #last = null;

  recordToken() {
    this.#last = performance.now();
    this.#first ??= this.#last;
  }

  measure(tokens) {
    if (this.#first === null) return { firstToken: null, tokensPerSecond: null };
    const span = (this.#last - this.#first) / 1000;
    return {
      firstToken: (this.#first - this.#start) / 1000,
      tokensPerSecond: tokens > 1 && span > SHORTEST_SPAN ? (tokens - 1) / span : null,
    };
  }
}
