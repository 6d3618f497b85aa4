// The field for an API key, hidden until it is needed or wanted.

import { byId } from "./dom.js";

/** Connects the form; `use` is called with a key. */
export function setUpKeyForm(use) {
  byId("key-button").addEventListener("click", () => askForKey(byId("key-form").hidden));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    use(byId("key").value.trim());
  });
}

/** Shows the form, or hides it. */
export function askForKey(needed) {
  byId("key-form").hidden = !needed;
  byId("key-button").setAttribute("aria-expanded", String(needed));
  if (needed) byId("key").focus();
}
