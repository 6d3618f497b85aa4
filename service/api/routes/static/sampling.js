// The folded-away controls. What is left empty is not sent, and the service's default holds.

import { byId } from "./dom.js";

const FIELDS = ["temperature", "top_p", "repetition_penalty", "max_tokens", "seed"];

/** The sampling panel and the button that unfolds it. */
export class Sampling {
  #panel = byId("sampling");
  #button = byId("sampling-button");

  constructor() {
    this.#button.addEventListener("click", () => this.#toggle());
    this.#panel.addEventListener("input", () => this.#summarise());
    byId("sampling-reset").addEventListener("click", () => this.#reset());
  }

  /** Shows the service's defaults where nothing is typed. */
  showDefaults(defaults) {
    for (const name of FIELDS) {
      if (name in defaults) this.#input(name).placeholder = String(defaults[name]);
    }
  }

  /** Whether everything that is typed can be sent; shows the first field where not. */
  check() {
    const wrong = this.#panel.querySelector("input:invalid");
    if (!wrong) return true;
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    wrong.reportValidity();
    return false;
  }

  /** The fields of a request. */
  get fields() {
    const fields = {};
    for (const name of FIELDS) {
      const value = this.#input(name).valueAsNumber;
      if (!Number.isNaN(value)) fields[name] = value;
    }
    const beams = this.#input("beams").valueAsNumber;
    return beams > 1 ? { ...fields, use_beam_search: true, n: beams } : fields;
  }

  #input(name) {
    return byId(`sampling-${name}`);
  }

  #toggle() {
    this.#panel.hidden = !this.#panel.hidden;
    this.#button.setAttribute("aria-expanded", String(!this.#panel.hidden));
    if (!this.#panel.hidden) this.#input(FIELDS[0]).focus();
  }

  #reset() {
    for (const name of [...FIELDS, "beams"]) this.#input(name).value = "";
    this.#summarise();
  }

  #summarise() {
    const changed = Object.keys(this.fields).filter((name) => name !== "use_beam_search").length;
    this.#button.textContent = changed ? `Sampling (${changed} set)` : "Sampling";
  }
}
