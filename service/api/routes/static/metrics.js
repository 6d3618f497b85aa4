// Reads counters and gauges from Prometheus' text format.

const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;

/** The samples of a scrape, by name. */
export class Metrics {
  #samples = new Map();

  constructor(text) {
    for (const line of text.split("\n")) {
      const match = line.startsWith("#") ? null : SAMPLE.exec(line);
      if (!match) continue;
      const [, name, labels = "", value] = match;
      if (!this.#samples.has(name)) this.#samples.set(name, []);
      this.#samples.get(name).push({ labels, value: Number(value) });
    }
  }

  /** Sums over all engines and models; with `label`, only over samples that have it. */
  sum(name, label = "") {
    const samples = this.#samples.get(name) ?? [];
    return samples.filter(({ labels }) => labels.includes(label)).reduce((sum, { value }) => sum + value, 0);
  }

  /** Returns the ratio of two counters, between 0 and 1, or null before the first query. */
  ratio(hits, queries) {
    const total = this.sum(queries);
    return total ? this.sum(hits) / total : null;
  }
}
