// The panel of sampling parameters. Empty fields are not sent, so the service uses its defaults.

import { byId } from "./dom.js";

const FIELDS = ["temperature", "top_p", "repetition_penalty", "max_tokens", "seed"];

/** The panel and the button that opens it. */
export class Sampling {
  #panel = byId("sampling");
  #button = byId("sampling-button");

  constructor() {
    this.#button.addEventListener("click", () => this.#toggle());
    this.#panel.addEventListener("input", () => this.#summarise());
    byId("sampling-reset").addEventListener("click", () => this.#reset());
  }

  /** Shows the service's defaults in empty fields. */
  showDefaults(defaults) {
    for (const name of FIELDS) {
      if (name in defaults) this.#input(name).placeholder = String(defaults[name]);
    }
  }

  /** Returns whether all values are valid. If not, opens the panel at the first invalid field. */
  check() {
    const invalid = this.#panel.querySelector("input:invalid");
    if (!invalid) return true;
    this.#panel.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    invalid.reportValidity();
    return false;
  }

  /** The sampling fields of a request. */
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
