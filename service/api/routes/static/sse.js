// Server-sent events from a fetch body (https://html.spec.whatwg.org/multipage/server-sent-events.html);
// EventSource cannot send a POST.

/** Yields the data of each event; comments (keep-alives) and other fields are skipped. */
export async function* events(stream) {
  let rest = "";
  let data = [];
  for await (const text of chunks(stream)) {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  }
}

// A reader and not `for await` over the stream, which Safari has only since version 26.
async function* chunks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // After an abort the stream has failed already, and cancelling it reports that once more.
    reader.cancel().catch(() => {});
  }
}
