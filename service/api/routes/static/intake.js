// The ways a picture comes in: picked, photographed, dropped, pasted, or one of the examples.

import { hasCamera, photograph } from "./camera.js";
import { byId, element, touch } from "./dom.js";

/** Connects them all; each calls `take` with a list of files, and `fail` with what went wrong. */
export function setUpIntake(take, fail) {
  setUpPicking(take);
  setUpCamera(take, fail);
  setUpDropping(take);
  document.addEventListener("paste", (event) => {
    const files = images(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
}

/** Offers the examples; a click takes one. */
export function showExamples(examples, take, fail) {
  byId("examples").hidden = examples.length === 0;
  const items = examples.map(({ url, name }) => {
    const open = () => fetchExample(url).then((file) => take([file]), fail);
    const image = element("img", { src: url, alt: "", width: "96", height: "96" });
    return element("li", {}, element("button", { type: "button", "aria-label": `Example: ${name}`, title: name, click: open }, image));
  });
  byId("example-list").replaceChildren(...items);
}

async function fetchExample(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The example could not be loaded (${response.status}).`);
  const blob = await response.blob();
  return new File([blob], decodeURIComponent(url.split("/").pop()), { type: blob.type });
}

function setUpPicking(take) {
  for (const id of ["file-input", "capture-input"]) {
    const input = byId(id);
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // the same file can be picked again
      if (files.length) take(files);
    });
  }
  for (const button of document.querySelectorAll("[data-action=pick]")) {
    button.addEventListener("click", () => byId("file-input").click());
  }
}

function setUpCamera(take, fail) {
  for (const button of document.querySelectorAll("[data-action=photograph]")) {
    button.hidden = !touch && !hasCamera();
    button.addEventListener("click", async () => {
      if (touch) {
        byId("capture-input").click();
        return;
      }
      try {
        const file = await photograph();
        if (file) take([file]);
      } catch (error) {
        fail(new Error(`The camera cannot be used: ${error.message}`));
      }
    });
  }
}

function setUpDropping(take) {
  let depth = 0; // dragenter and dragleave come for every element below the pointer
  const over = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => holdsFiles(event) && over(1));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && over(-1));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    over(-depth);
    // Whatever it is: the service says what it takes.
    take([...event.dataTransfer.files]);
  });
}

function images(data) {
  return [...(data?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
}
