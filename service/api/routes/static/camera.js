// Photographs with the computer's camera. Phones have a better way, which `capture` opens.

import { byId } from "./dom.js";

/** Whether this browser lets a page use a camera: not over plain HTTP, except on localhost. */
export function hasCamera() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

/** Shows the camera's picture; resolves to a file, or to null when the dialog is closed. */
export async function photograph() {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 1920 }, height: { ideal: 1080 } },
  });
  const dialog = byId("camera");
  const video = byId("camera-video");
  const shoot = byId("camera-shoot");
  const done = new AbortController();
  const options = { signal: done.signal };
  try {
    video.srcObject = stream;
    shoot.disabled = true; // until there is something to be seen
    dialog.showModal();
    const seen = () => {
      shoot.disabled = false;
    };
    video.play().then(seen, () => {}); // fails when the dialog is closed before
    return await new Promise((resolve) => {
      shoot.addEventListener("click", () => resolve(still(video)), options);
      byId("camera-close").addEventListener("click", () => resolve(null), options);
      dialog.addEventListener("close", () => resolve(null), options);
    });
  } finally {
    done.abort();
    dialog.close();
    video.srcObject = null;
    for (const track of stream.getTracks()) track.stop();
  }
}

async function still(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], "photo.jpg", { type: "image/jpeg" });
}
