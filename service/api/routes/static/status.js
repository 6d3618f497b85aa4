// The status strip: readiness, load and cache hit rates from the public endpoints.

import { byId } from "./dom.js";
import { Metrics } from "./metrics.js";

const BUSY_INTERVAL = 2000;
const IDLE_INTERVAL = 5000;
const WORDS = {
  ready: "Ready",
  starting: "Starting",
  draining: "Shutting down",
  failed: "Failed",
  unreachable: "Unreachable",
};

/** Polls while the tab is seen; `onReady` runs when the service becomes ready again. */
export class Status {
  #service;
  #onReady;
  #timer = null;
  #state = "";
  #generated = null;

  constructor(service, onReady) {
    this.#service = service;
    this.#onReady = onReady;
    document.addEventListener("visibilitychange", () => this.#visibility());
    this.#visibility();
  }

  /** Reads anew at once: something has just happened. */
  refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!document.hidden) this.#poll();
  }

  #visibility() {
    this.#generated = null; // a rate across a pause would be an average of it
    this.refresh();
  }

  async #poll() {
    const state = await this.#service.readiness();
    this.#showState(state);
    const busy = state === "unreachable" ? false : await this.#showMetrics();
    // Two reads may overlap after a refresh; only one goes on.
    clearTimeout(this.#timer);
    if (!document.hidden) {
      this.#timer = setTimeout(() => this.#poll(), busy ? BUSY_INTERVAL : IDLE_INTERVAL);
    }
  }

  #showState(state) {
    if (state === this.#state) return;
    const known = state in WORDS ? state : "failed";
    byId("readiness").dataset.state = known;
    byId("readiness-text").textContent = WORDS[known];
    this.#state = state;
    if (state === "ready") this.#onReady();
  }

  /** Returns whether requests are under way. */
  async #showMetrics() {
    let metrics;
    try {
      metrics = new Metrics(await this.#service.metrics());
    } catch {
      return false; // the readiness says what is wrong
    }
    const running = metrics.sum("vllm:num_requests_running");
    const waiting = metrics.sum("vllm:num_requests_waiting");
    show("in-flight", waiting ? `${running} + ${waiting} queued` : String(running));
    show("rate", this.#rate(metrics.sum("vllm:generation_tokens_total")));
    show("prefix-cache", percent(metrics.rate("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total")));
    show("image-cache", encoder(metrics));
    return running + waiting > 0;
  }

  #rate(generated) {
    const now = performance.now();
    const before = this.#generated;
    this.#generated = { tokens: generated, time: now };
    if (!before) return "–";
    // Fewer than before: the service has been started anew.
    const rate = (Math.max(0, generated - before.tokens) * 1000) / (now - before.time);
    return rate < 10 ? rate.toFixed(1) : String(Math.round(rate));
  }
}

// Images that needed no encoding of their own, of those that were answered.
function encoder(metrics) {
  const count = (outcome) => metrics.sum("minigpt4_encoder_images_total", `outcome="${outcome}"`);
  const encoded = count("encoded");
  const spared = count("cached") + count("deduplicated");
  return percent(encoded + spared ? spared / (encoded + spared) : null);
}

function percent(share) {
  return share === null ? "–" : `${Math.round(share * 100)} %`;
}

function show(name, text) {
  byId(`status-${name}`).textContent = text;
}
