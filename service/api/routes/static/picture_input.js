// The ways to add a picture: choose a file, take a photo, drop, paste, or click an example.

import { hasCamera, takePhoto } from "./camera.js";
import { byId, create, isTouchScreen } from "./dom.js";

/** Connects all ways; calls `onFiles` with a list of files, or `onError` with an error. */
export function setUpPictureInput(onFiles, onError) {
  setUpFileInputs(onFiles);
  setUpCamera(onFiles, onError);
  setUpDropping(onFiles);
  document.addEventListener("paste", (event) => {
    const files = findImages(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    onFiles(files);
  });
}

/** Shows the examples; a click adds one. */
export function showExamples(examples, onFiles, onError) {
  byId("examples").hidden = examples.length === 0;
  const items = examples.map(({ url, name }) => {
    const click = () => fetchExample(url).then((file) => onFiles([file]), onError);
    const image = create("img", { src: url, alt: "", width: "96", height: "96" });
    const label = `Example: ${name}`;
    return create("li", {}, create("button", { type: "button", "aria-label": label, title: name, click }, image));
  });
  byId("example-list").replaceChildren(...items);
}

async function fetchExample(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The example could not be loaded (${response.status}).`);
  const blob = await response.blob();
  return new File([blob], decodeURIComponent(url.split("/").pop()), { type: blob.type });
}

function setUpFileInputs(onFiles) {
  for (const id of ["file-input", "capture-input"]) {
    const input = byId(id);
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the user can choose the same file again
      if (files.length) onFiles(files);
    });
  }
  for (const button of document.querySelectorAll("[data-action=pick]")) {
    button.addEventListener("click", () => byId("file-input").click());
  }
}

function setUpCamera(onFiles, onError) {
  for (const button of document.querySelectorAll("[data-action=photograph]")) {
    button.hidden = !isTouchScreen && !hasCamera();
    button.addEventListener("click", async () => {
      if (isTouchScreen) {
        byId("capture-input").click();
        return;
      }
      try {
        const file = await takePhoto();
        if (file) onFiles([file]);
      } catch (error) {
        onError(new Error(`The camera cannot be used: ${error.message}`));
      }
    });
  }
}

function setUpDropping(onFiles) {
  // dragenter and dragleave fire for every element below the pointer, so count them.
  let depth = 0;
  const changeDepth = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => hasFiles(event) && changeDepth(1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && changeDepth(-1));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    changeDepth(-depth);
    // Accept any type of file: the service decides which it can use.
    onFiles([...event.dataTransfer.files]);
  });
}

function findImages(data) {
  return [...(data?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
}
