// A small part of Markdown, as elements: paragraphs, headings, lists, quotes, code, bold, italic.
// Links and images stay the text they are: a model's answer must not make the browser go anywhere.

import { element } from "./dom.js";

const FENCE = /^\s*```/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const BULLET = /^\s*[-*+]\s+(.*)$/;
const NUMBER = /^\s*\d{1,3}[.)]\s+(.*)$/;
const QUOTE = /^\s*>\s?(.*)$/;
const INLINE = /(`+)(.+?)\1|\*\*(?=\S)(.+?)\*\*|\*(?=[^\s*])([^*]*[^\s*])\*/s;

const shown = new WeakMap();

/** Shows `text` in `container`; blocks that have not changed keep their elements, and a selection in them. */
export function render(container, text) {
  const blocks = split(text);
  const before = shown.get(container) ?? [];
  const same = blocks.findIndex((block, index) => block.source !== before[index]?.source);
  const keep = same < 0 ? blocks.length : same;
  while (container.childNodes.length > keep) container.lastChild.remove();
  container.append(...blocks.slice(keep).map((block) => block.build()));
  shown.set(container, blocks);
}

function split(text) {
  const lines = text.split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    const [length, build] = blockAt(lines, at);
    if (build) blocks.push({ source: lines.slice(at, at + length).join("\n"), build });
    at += length;
  }
  return blocks;
}

// How many lines the block that starts here has, and what builds it.
function blockAt(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [1, null];
  if (FENCE.test(line)) return fenced(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [1, () => element("p", { class: "heading" }, ...inline(heading[2]))];
  for (const [pattern, tag] of [[BULLET, "ul"], [NUMBER, "ol"]]) {
    const items = run(lines, at, pattern);
    if (items.length) return [items.length, () => list(tag, items, line)];
  }
  const quoted = run(lines, at, QUOTE);
  if (quoted.length) return [quoted.length, () => element("blockquote", {}, ...inline(quoted.join("\n")))];
  const paragraph = lines.slice(at);
  const end = paragraph.findIndex((next, index) => index > 0 && startsBlock(next));
  const own = end < 0 ? paragraph : paragraph.slice(0, end);
  return [own.length, () => element("p", {}, ...inline(own.join("\n")))];
}

function startsBlock(line) {
  return !line.trim() || [FENCE, HEADING, BULLET, NUMBER, QUOTE].some((pattern) => pattern.test(line));
}

function fenced(lines, at) {
  const end = lines.findIndex((line, index) => index > at && FENCE.test(line));
  const last = end < 0 ? lines.length : end;
  const code = lines.slice(at + 1, last).join("\n");
  return [last - at + 1, () => element("pre", { tabindex: "0" }, element("code", {}, code))];
}

// The captured text of consecutive lines that match.
function run(lines, at, pattern) {
  const found = [];
  for (let match; at < lines.length && (match = pattern.exec(lines[at])); at += 1) found.push(match[1]);
  return found;
}

function list(tag, items, firstLine) {
  const start = tag === "ol" ? String(Number.parseInt(firstLine, 10)) : null;
  return element(tag, { start }, ...items.map((item) => element("li", {}, ...inline(item))));
}

function inline(text) {
  const nodes = [];
  for (let match; (match = INLINE.exec(text)); ) {
    nodes.push(text.slice(0, match.index));
    const [whole, ticks, code, bold, italic] = match;
    if (ticks) nodes.push(element("code", {}, code));
    else nodes.push(element(bold ? "strong" : "em", {}, ...inline(bold ?? italic)));
    text = text.slice(match.index + whole.length);
  }
  return [...nodes, text].filter((node) => node !== "");
}
