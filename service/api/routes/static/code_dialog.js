// Shows a request as code, with the pictures that the code reads.

import { byId, copy, element } from "./dom.js";
import { curl, fileNames, python } from "./snippets.js";

/** Opens the dialog for a request's body and the pictures that its messages hold. */
export function showCode(body, pictures, withKey) {
  const dialog = byId("code");
  const names = fileNames(pictures);
  const base = new URL(".", document.baseURI).href;
  byId("code-curl").textContent = curl(base, body, names, withKey);
  byId("code-python").textContent = python(base, body, names, withKey);
  byId("code-files").hidden = names.size === 0;
  byId("code-key").hidden = !withKey;
  byId("code-file-list").replaceChildren(...[...names].map(fileLink));
  dialog.showModal();
}

/** Connects the dialog's buttons, once. */
export function setUpCodeDialog() {
  const dialog = byId("code");
  byId("code-close").addEventListener("click", () => dialog.close());
  for (const language of ["curl", "python"]) {
    const button = byId(`code-copy-${language}`);
    button.addEventListener("click", () => copy(byId(`code-${language}`).textContent, button));
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

function fileLink([picture, name]) {
  return element("li", {}, element("a", { href: picture.preview, download: name }, name));
}
