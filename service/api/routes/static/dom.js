// Creates and finds elements. Text is always set as text; the page never parses a string as HTML.

/**
 * Creates an element with attributes and children. A function becomes a listener; null, undefined and
 * false attributes are skipped, and so are null and undefined children.
 */
export function create(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Whether this is a touch screen: there is no mouse, and the keyboard covers half of the page. */
export const isTouchScreen = matchMedia("(pointer: coarse)").matches;

/** Returns the element with this id; throws if there is none. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no #${id}.`);
  return node;
}

/** Offers a blob as a download. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  create("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Copies text to the clipboard and shows the result on the button for a moment. */
export async function copyText(text, button) {
  const label = button.textContent;
  button.textContent = (await writeToClipboard(text)) ? "Copied" : "Copying failed";
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}

async function writeToClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// navigator.clipboard exists only over HTTPS and on localhost, but many people use plain HTTP.
function copyBySelection(text) {
  const area = create("textarea", { class: "hidden-visually", "aria-hidden": "true" });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  const before = document.activeElement;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  before?.focus();
  return copied;
}

/** Formats a number of bytes for people. */
export function formatBytes(number) {
  if (number < 1000) return `${number} B`;
  return number < 1e6 ? `${Math.round(number / 1e3)} kB` : `${(number / 1e6).toFixed(1)} MB`;
}
