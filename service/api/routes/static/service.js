// The service's public endpoints, as this page uses them. Addresses are relative to the page.

import { events } from "./sse.js";

const HEADLINES = {
  400: "The service did not accept this request.",
  401: "The service asks for an API key.",
  403: "The service refuses this.",
  404: "The service does not know this address or model.",
  413: "This is more than the service takes at once.",
  422: "The service could not use an image.",
  429: "The service is busy.",
  503: "The service cannot take this right now.",
};

/** A request that failed: a headline in plain words, and the server's own message. */
export class ServiceError extends Error {
  constructor(headline, detail, status = 0) {
    super(headline);
    this.detail = detail;
    this.status = status;
  }
}

/** The API key lives here, in the tab's memory, and goes into no storage. */
export class Service {
  key = "";

  /** The models served, as /v1/models lists them. */
  async models() {
    return (await (await this.#request("v1/models")).json()).data;
  }

  /** "ready", "starting", "draining", "failed", or "unreachable". */
  async readiness() {
    try {
      const response = await fetch("ready", { cache: "no-store" });
      return (await response.json()).status ?? "failed";
    } catch {
      return "unreachable";
    }
  }

  /** The text of /metrics. */
  async metrics() {
    return (await this.#request("metrics")).text();
  }

  /** What the page cannot know: example images and the default sampling. */
  async pageSettings() {
    return (await this.#request("page/settings")).json();
  }

  /** Streams a chat completion's chunks. */
  async *chat(body, signal) {
    const response = await this.#request("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    try {
      for await (const data of events(response.body)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) {
          throw new ServiceError("The service failed while answering.", messageOf(chunk), chunk.error.code);
        }
        yield chunk;
      }
    } catch (error) {
      if (error instanceof ServiceError || error.name === "AbortError") throw error;
      throw new ServiceError("The connection broke while the answer was coming.", error.message);
    }
    throw new ServiceError("The connection ended before the answer did.", "");
  }

  async #request(path, options = {}) {
    const headers = { ...options.headers };
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    let response;
    try {
      response = await fetch(path, { cache: "no-store", ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("The service could not be reached.", unreachable(options.body));
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

// A server that refuses a large body early may close before the browser reads the reason.
function unreachable(body) {
  const megabytes = (body?.length ?? 0) / 1e6;
  return megabytes > 5
    ? `It may be down, or refuse a request of this size (${megabytes.toFixed(0)} MB).`
    : "It may be down, or the network may be.";
}

async function refusal(response) {
  const fallback = response.status >= 500 ? "The service failed." : "The service refused this.";
  let detail = await response.text();
  try {
    detail = messageOf(JSON.parse(detail)) ?? detail;
  } catch {
    // Not JSON: a proxy in between, say; its text is the best there is.
  }
  const seconds = response.headers.get("Retry-After");
  if (seconds) detail = `${detail.trim()} It suggests to try again in ${seconds} s.`;
  return new ServiceError(HEADLINES[response.status] ?? fallback, detail.slice(0, 600), response.status);
}

// OpenAI's {"error": {"message"}}, the authentication's {"error": "Unauthorized"}, FastAPI's {"detail"}.
function messageOf(body) {
  const { error = body.detail } = body;
  return typeof error === "string" ? error : (error?.message ?? JSON.stringify(body));
}
