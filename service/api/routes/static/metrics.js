// Reads Prometheus' text format, as far as counters and gauges go.

const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;

/** Samples by name. */
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

  /** The sum over all engines and models; over those with `label` where it is given. */
  sum(name, label = "") {
    const samples = this.#samples.get(name) ?? [];
    return samples.filter(({ labels }) => labels.includes(label)).reduce((sum, { value }) => sum + value, 0);
  }

  /** Share between 0 and 1, or null while nothing has been asked. */
  rate(hits, queries) {
    const asked = this.sum(queries);
    return asked ? this.sum(hits) / asked : null;
  }
}
