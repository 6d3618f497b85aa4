// The service's endpoints that the page uses. URLs are relative to the page.

import { readEvents } from "./sse.js";

const HEADLINES = {
  400: "The service did not accept this request.",
  401: "The service needs an API key.",
  403: "The service refused this request.",
  404: "The service does not know this URL or model.",
  413: "The request is too large for the service.",
  422: "The service could not use an image.",
  429: "The service is busy.",
  503: "The service cannot accept requests right now.",
};

const WRONG_KEY = "This API key is wrong: the service does not know it.";

/** A failed request: a headline for people, and the server's own message. */
export class ServiceError extends Error {
  constructor(headline, detail, status = 0) {
    super(headline);
    this.detail = detail;
    this.status = status;
  }
}

/** Calls the service. The API key stays in the tab's memory and is never stored. */
export class Service {
  key = "";

  /** Returns the models that /v1/models lists. */
  async models() {
    return (await (await this.#request("v1/models")).json()).data;
  }

  /** Returns "ready", "starting", "draining", "failed", or "unreachable". */
  async readiness() {
    try {
      const response = await fetch("ready", { cache: "no-store" });
      return (await response.json()).status ?? "failed";
    } catch {
      return "unreachable";
    }
  }

  /** Returns the text of /metrics. */
  async metrics() {
    return (await this.#request("metrics")).text();
  }

  /** Returns what the model can do, the example images, the default sampling and the limits. */
  async pageSettings() {
    return (await this.#request("page/settings")).json();
  }

  /** Yields the chunks of a chat completion. */
  async *chat(body, signal) {
    const response = await this.#request("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    try {
      for await (const data of readEvents(response.body)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) {
          throw new ServiceError("The service failed while answering.", findMessage(chunk), chunk.error.code);
        }
        yield chunk;
      }
    } catch (error) {
      if (error instanceof ServiceError || error.name === "AbortError") throw error;
      throw new ServiceError("The connection failed during the answer.", error.message);
    }
    throw new ServiceError("The connection closed before the end of the answer.", "");
  }

  async #request(path, options = {}) {
    const headers = { ...options.headers };
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    let response;
    try {
      response = await fetch(path, { cache: "no-store", ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("The service could not be reached.", explainUnreachable(options.body));
    }
    if (!response.ok) throw await readError(response, this.key !== "");
    return response;
  }
}

// A server that refuses a large body may close the connection before the browser can read why.
function explainUnreachable(body) {
  const megabytes = (body?.length ?? 0) / 1e6;
  return megabytes > 5
    ? `The service may be down, or it may refuse a request of this size (${megabytes.toFixed(0)} MB).`
    : "The service or the network may be down.";
}

async function readError(response, withKey) {
  const fallback = response.status >= 500 ? "The service failed." : "The service refused this request.";
  let detail = await response.text();
  try {
    detail = findMessage(JSON.parse(detail)) ?? detail;
  } catch {
    // Not JSON, for example from a proxy: show the text as it is.
  }
  const seconds = response.headers.get("Retry-After");
  if (seconds) detail = `${detail.trim()} Try again in ${seconds} s.`;
  const headline = response.status === 401 && withKey ? WRONG_KEY : HEADLINES[response.status];
  return new ServiceError(headline ?? fallback, detail.slice(0, 600), response.status);
}

// Three forms of errors: OpenAI's {"error": {"message"}}, {"error": "text"}, FastAPI's {"detail"}.
function findMessage(body) {
  const { error = body.detail } = body;
  return typeof error === "string" ? error : (error?.message ?? JSON.stringify(body));
}
