// Asks one turn and fills it in as the answer comes; knows no elements.

import { State } from "./conversation.js";

// Two readings closer together than this say nothing about a rate.
const SHORTEST_SPAN = 0.01;

/** The body of a request. */
export function requestBody(model, messages, sampling) {
  return { model, messages, ...sampling };
}

/**
 * Streams the answer of `turn`; `changed` is called after each piece. Never throws: what goes wrong
 * is the turn's error.
 */
export async function answer(service, turn, body, signal, changed) {
  const clock = new Clock();
  // Usage with each chunk, so that a stopped answer has figures too.
  const stream_options = { include_usage: true, continuous_usage_stats: true };
  try {
    for await (const chunk of service.chat({ ...body, stream: true, stream_options }, signal)) {
      take(turn, chunk, clock);
      changed();
    }
    turn.state = State.DONE;
  } catch (error) {
    if (signal.aborted) {
      turn.state = turn.answer ? State.STOPPED : State.FAILED;
      if (!turn.answer) turn.error = { message: "Stopped before the answer began.", detail: "" };
    } else {
      turn.state = State.FAILED;
      turn.error = error;
    }
  }
  changed();
}

function take(turn, chunk, clock) {
  // Beam search answers with all beams; the best comes first.
  const choice = chunk.choices.find(({ index }) => index === 0);
  turn.answer += choice?.delta.content ?? "";
  turn.finishReason = choice?.finish_reason ?? turn.finishReason;
  turn.usage = chunk.usage ?? turn.usage;
  if (choice && (chunk.usage?.completion_tokens || choice.delta.content)) clock.token();
  turn.timing = clock.timing(turn.usage?.completion_tokens);
}

// Seconds as the person in front of the page experiences them, network included.
class Clock {
  #start = performance.now();
  #first = null;
  #last = null;

  token() {
    this.#last = performance.now();
    this.#first ??= this.#last;
  }

  timing(tokens) {
    if (this.#first === null) return { firstToken: null, tokensPerSecond: null };
    const span = (this.#last - this.#first) / 1000;
    return {
      firstToken: (this.#first - this.#start) / 1000,
      tokensPerSecond: tokens > 1 && span > SHORTEST_SPAN ? (tokens - 1) / span : null,
    };
  }
}
