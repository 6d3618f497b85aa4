// The gallery: all pictures that the next request will contain, in a large size.

import { enableSelection } from "./boxes.js";
import { byId, create, formatBytes } from "./dom.js";
import { createPreview } from "./turn_view.js";
import { createZoomButton } from "./zoom.js";

/**
 * Shows the pictures in the order in which the model sees them. With `onBox`, a box can be dragged on
 * the last one, which a model with boxes speaks of.
 */
export function showGallery(pictures, onBox = null) {
  document.body.classList.toggle("has-pictures", pictures.length > 0);
  document.body.classList.toggle("several-pictures", pictures.length > 1);
  byId("gallery").replaceChildren(...pictures.map((picture, index) => createItem(picture, index + 1)));
  const last = byId("gallery").querySelector("li:last-child img");
  if (onBox && last) enableSelection(last, onBox);
}

function createItem(picture, number) {
  const size = picture.visible ? `${picture.width} × ${picture.height}, ` : "";
  const caption = create("figcaption", {}, `${picture.name}, ${size}${formatBytes(picture.size)}`);
  return create("li", {}, create("figure", {}, ...createPreview(picture, number), createZoomButton(picture, number), caption));
}
