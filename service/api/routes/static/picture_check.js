// Finds out before a picture is sent whether the service will refuse it.

import { formatBytes } from "./dom.js";

// How files of the formats that the service reads begin.
const SIGNATURES = [
  { name: "PNG", pattern: /^\x89PNG\r\n\x1a\n/, shown: true },
  { name: "JPEG", pattern: /^\xff\xd8\xff/, shown: true },
  { name: "WebP", pattern: /^RIFF[^]{4}WEBP/, shown: true },
  { name: "GIF", pattern: /^GIF8[79]a/, shown: true },
  { name: "BMP", pattern: /^BM/, shown: true },
  { name: "TIFF", pattern: /^(II[*+]\0|MM\0[*+])/, shown: false },
  { name: "AVIF", pattern: /^[^]{4}ftyp(avif|avis)/, shown: false },
  { name: "HEIC", pattern: /^[^]{4}ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)/, shown: false },
];

/** Returns a sentence that says why the service would refuse a picture, or null. */
export async function explainRefusal(file, picture, limits) {
  if (file.size > limits.bytes) {
    return `${picture.name} is too large: ${formatBytes(file.size)}, and the service reads at most ${formatBytes(limits.bytes)}.`;
  }
  const bytes = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  const start = String.fromCharCode(...bytes);
  const format = SIGNATURES.find(({ pattern }) => pattern.test(start));
  if (!format) {
    const names = SIGNATURES.map(({ name }) => name).join(", ");
    return `${picture.name} is not a picture that the service reads (${names}).`;
  }
  // Each browser shows these formats, so a picture that it cannot show is damaged.
  if (format.shown && !picture.visible) return `${picture.name} is damaged: it cannot be shown.`;
  if (picture.visible && picture.width * picture.height > limits.pixels) {
    return `${picture.name} has too many pixels: ${picture.width} × ${picture.height}, and the service reads at most ${limits.pixels}.`;
  }
  return null;
}
