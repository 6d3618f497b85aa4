// A picture in its full size, in a dialog.

import { byId, create } from "./dom.js";

/** Connects the dialog. */
export function setUpZoom() {
  const dialog = byId("zoom");
  byId("zoom-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog || target === byId("zoom-image")) dialog.close();
  });
}

/** Creates the button that enlarges a picture; null if the browser cannot show it. */
export function createZoomButton(picture, number) {
  if (!picture.visible) return null;
  const attributes = { type: "button", class: "zoom", "aria-label": `Enlarge picture ${number}`, title: "Enlarge" };
  return create("button", { ...attributes, click: () => enlarge(picture) }, "\u2922");
}

function enlarge(picture) {
  byId("zoom-name").textContent = `${picture.name}, ${picture.width} × ${picture.height}`;
  const image = byId("zoom-image");
  image.src = picture.preview;
  image.alt = picture.name;
  byId("zoom").showModal();
}
