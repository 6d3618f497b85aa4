// The status: one word in the bar, and behind it the gauges: readiness, load and cache hit ratios, from the public endpoints.

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

/** Polls while the tab is visible. Calls `onReady` each time the service becomes ready. */
export class Status {
  #service;
  #onReady;
  #timer = null;
  #state = "";
  #generated = null;

  constructor(service, onReady) {
    this.#service = service;
    this.#onReady = onReady;
    document.addEventListener("visibilitychange", () => this.#restart());
    setUpGauges();
    this.#restart();
  }

  /** Polls now, and not only after the interval. */
  refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!document.hidden) this.#poll();
  }

  #restart() {
    this.#generated = null; // a rate across the pause would be wrong
    this.refresh();
  }

  async #poll() {
    const state = await this.#service.readiness();
    this.#showState(state);
    const busy = state === "unreachable" ? false : await this.#showMetrics();
    // After refresh(), two polls may overlap; only one of them may schedule the next.
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
    byId("readiness-spoken").textContent = WORDS[known];
    this.#state = state;
    if (state === "ready") this.#onReady();
  }

  /** Shows the metrics; returns whether requests are in progress. */
  async #showMetrics() {
    let metrics;
    try {
      metrics = new Metrics(await this.#service.metrics());
    } catch {
      return false; // the readiness shows what is wrong
    }
    const running = metrics.sum("vllm:num_requests_running");
    const waiting = metrics.sum("vllm:num_requests_waiting");
    showText("in-flight", waiting ? `${running} + ${waiting} queued` : String(running));
    showText("rate", this.#computeRate(metrics.sum("vllm:generation_tokens_total")));
    showText("prefix-cache", formatPercent(metrics.ratio("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total")));
    showText("image-cache", formatPercent(imageCacheRatio(metrics)));
    return running + waiting > 0;
  }

  #computeRate(generated) {
    const now = performance.now();
    const before = this.#generated;
    this.#generated = { tokens: generated, time: now };
    if (!before) return "–";
    // The counter is lower than before if the service has been restarted.
    const rate = (Math.max(0, generated - before.tokens) * 1000) / (now - before.time);
    return rate < 10 ? rate.toFixed(1) : String(Math.round(rate));
  }
}

// The button shows and hides the gauges; so do Escape and a click elsewhere.
function setUpGauges() {
  const button = byId("readiness");
  const show = (visible) => {
    byId("gauges").hidden = !visible;
    button.setAttribute("aria-expanded", String(visible));
  };
  button.addEventListener("click", () => show(byId("gauges").hidden));
  document.addEventListener("pointerdown", ({ target }) => {
    if (!target.closest(".status")) show(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || byId("gauges").hidden) return;
    event.stopImmediatePropagation(); // Escape has other uses when the gauges are hidden
    show(false);
  });
}

// The share of images that needed no encoding of their own.
function imageCacheRatio(metrics) {
  const count = (outcome) => metrics.sum("minigpt4_encoder_images_total", `outcome="${outcome}"`);
  const encoded = count("encoded");
  const reused = count("cached") + count("deduplicated");
  return encoded + reused ? reused / (encoded + reused) : null;
}

function formatPercent(share) {
  return share === null ? "–" : `${Math.round(share * 100)} %`;
}

function showText(name, text) {
  byId(`status-${name}`).textContent = text;
}
