// Takes a photo with a computer's camera. Phones open their camera app instead (`capture`).

import { byId } from "./dom.js";

/** Whether the page may use a camera. Browsers allow it only over HTTPS and on localhost. */
export function hasCamera() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

/** Shows the camera's picture. Resolves to a file, or to null if the dialog is closed. */
export async function takePhoto() {
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
    shoot.disabled = true; // until the video plays
    dialog.showModal();
    const enable = () => {
      shoot.disabled = false;
    };
    video.play().then(enable, () => {}); // play() fails if the dialog is closed first
    return await new Promise((resolve) => {
      shoot.addEventListener("click", () => resolve(captureFrame(video)), options);
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

async function captureFrame(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], "photo.jpg", { type: "image/jpeg" });
}
