// The wall: every picture that the next request will carry, large enough to talk about.

import { byId, bytes, element } from "./dom.js";
import { figure } from "./turn_view.js";

/** Shows the pictures in the order in which the model sees them. */
export function showWall(pictures) {
  document.body.classList.toggle("seeing", pictures.length > 0);
  document.body.classList.toggle("several", pictures.length > 1);
  byId("wall").replaceChildren(...pictures.map((picture, index) => item(picture, index + 1)));
}

function item(picture, number) {
  const size = picture.visible ? `${picture.width} × ${picture.height}, ` : "";
  const caption = element("figcaption", {}, `${picture.name}, ${size}${bytes(picture.size)}`);
  return element("li", {}, element("figure", {}, ...figure(picture, number), caption));
}
