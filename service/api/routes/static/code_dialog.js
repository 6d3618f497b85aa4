// The dialog that shows a request as code, with links to the picture files that the code reads.

import { byId, copyText, create } from "./dom.js";
import { buildCurl, buildPython, chooseFileNames } from "./snippets.js";

/** Opens the dialog for the body of a request and the pictures in its messages. */
export function showCode(body, pictures, withKey) {
  const names = chooseFileNames(pictures);
  const base = new URL(".", document.baseURI).href;
  byId("code-curl").textContent = buildCurl(base, body, names, withKey);
  byId("code-python").textContent = buildPython(base, body, names, withKey);
  byId("code-files").hidden = names.size === 0;
  byId("code-key").hidden = !withKey;
  byId("code-file-list").replaceChildren(...[...names].map(createFileLink));
  byId("code").showModal();
}

/** Connects the dialog's buttons. Call once. */
export function setUpCodeDialog() {
  const dialog = byId("code");
  byId("code-close").addEventListener("click", () => dialog.close());
  for (const language of ["curl", "python"]) {
    const button = byId(`code-copy-${language}`);
    button.addEventListener("click", () => copyText(byId(`code-${language}`).textContent, button));
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

function createFileLink([picture, name]) {
  return create("li", {}, create("a", { href: picture.preview, download: name }, name));
}
