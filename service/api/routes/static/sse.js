// Reads server-sent events from the body of a fetch, because EventSource cannot send a POST request:
// https://html.spec.whatwg.org/multipage/server-sent-events.html

/** Yields the data of each event. Skips comments (keep-alives) and other fields. */
export async function* readEvents(stream) {
  let rest = "";
  let data = [];
  for await (const text of readText(stream)) {
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

// Uses a reader, because Safari supports `for await` over a stream only since version 26.
async function* readText(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // After an abort, cancel() fails with the error that the stream already reported.
    reader.cancel().catch(() => {});
  }
}
