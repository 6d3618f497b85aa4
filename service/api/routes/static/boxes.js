// Boxes: drawn over the picture that an answer speaks of, and drawn by the user to ask what is inside.

import { create } from "./dom.js";

const GRID = 100;
const SMALLEST = 2; // of the grid; a click is no box

/** Creates a picture with the boxes of an answer; `boxes` come from the service, in pixels. */
export function createBoxedPicture(picture, boxes) {
  const marks = boxes.map(({ box, phrase }, index) => {
    const [left, top, right, bottom] = box;
    const mark = create("div", { class: "box", "data-colour": String(index % 6) }, create("span", {}, phrase ?? String(index + 1)));
    place(mark, left / picture.width, top / picture.height, right / picture.width, bottom / picture.height);
    return mark;
  });
  const names = boxes.map(({ phrase, box }, index) => `${phrase ?? `Box ${index + 1}`}: ${box.map(Math.round).join(", ")}`);
  return create(
    "figure",
    { class: "boxed" },
    create("div", {}, create("img", { src: picture.preview, alt: `${picture.name} with boxes` }), ...marks),
    create("figcaption", {}, names.join("; ")),
  );
}

/** Lets the user drag a box on `image`; calls `onBox` with its text, as MiniGPT-v2 writes boxes. */
export function enableSelection(image, onBox) {
  const mark = create("div", { class: "box selection", hidden: true });
  image.after(mark);
  image.draggable = false;
  image.classList.add("selectable");
  image.title = "Drag a box to ask what is inside";
  let start = null;
  image.addEventListener("pointerdown", (event) => {
    start = findPoint(image, event);
    image.setPointerCapture(event.pointerId);
  });
  image.addEventListener("pointermove", (event) => {
    if (!start) return;
    const corners = sortCorners(start, findPoint(image, event));
    mark.hidden = false;
    placeOver(mark, image, corners);
  });
  image.addEventListener("pointercancel", () => {
    start = null;
    mark.hidden = true;
  });
  image.addEventListener("pointerup", (event) => {
    if (!start) return;
    const numbers = sortCorners(start, findPoint(image, event)).map((share) => Math.round(share * GRID));
    start = null;
    const [left, top, right, bottom] = numbers;
    if (right - left < SMALLEST || bottom - top < SMALLEST) mark.hidden = true;
    else onBox(`{${numbers.map((number) => `<${number}>`).join("")}}`);
  });
}

function sortCorners([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

// The part of the element that the picture covers: object-fit leaves margins, or cuts the picture.
function findContent(image) {
  const { width, height } = image.getBoundingClientRect();
  const cuts = getComputedStyle(image).objectFit === "cover";
  const scale = Math[cuts ? "max" : "min"](width / image.naturalWidth, height / image.naturalHeight);
  const [across, down] = [image.naturalWidth * scale, image.naturalHeight * scale];
  return { left: (width - across) / 2, top: (height - down) / 2, across, down };
}

// A point as shares of the picture's width and height.
function findPoint(image, event) {
  const { left, top } = image.getBoundingClientRect();
  const content = findContent(image);
  const share = (position, size) => Math.min(1, Math.max(0, position / size));
  return [
    share(event.clientX - left - content.left, content.across),
    share(event.clientY - top - content.top, content.down),
  ];
}

function placeOver(mark, image, [left, top, right, bottom]) {
  const content = findContent(image);
  mark.style.left = `${image.offsetLeft + content.left + left * content.across}px`;
  mark.style.top = `${image.offsetTop + content.top + top * content.down}px`;
  mark.style.width = `${(right - left) * content.across}px`;
  mark.style.height = `${(bottom - top) * content.down}px`;
}

function place(mark, left, top, right, bottom) {
  mark.style.left = `${left * 100}%`;
  mark.style.top = `${top * 100}%`;
  mark.style.width = `${(right - left) * 100}%`;
  mark.style.height = `${(bottom - top) * 100}%`;
}
