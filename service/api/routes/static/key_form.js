// The field for an API key. It is hidden until the service needs a key or the user opens it.

import { byId } from "./dom.js";

/** Connects the form; calls `onKey` with the key. */
export function setUpKeyForm(onKey) {
  byId("key-button").addEventListener("click", () => showKeyForm(byId("key-form").hidden));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    onKey(byId("key").value.trim());
  });
}

/** Marks the key in the field as wrong, or not. */
export function markKey(wrong) {
  byId("key").setAttribute("aria-invalid", String(wrong));
  if (wrong) byId("key").select();
}

/** Shows or hides the form. */
export function showKeyForm(visible) {
  byId("key-form").hidden = !visible;
  byId("key-button").setAttribute("aria-expanded", String(visible));
  if (visible) byId("key").focus();
}
