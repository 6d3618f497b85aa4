// Shows a part of Markdown as elements: paragraphs, headings, lists, quotes, code, bold, italic.
// Links and images stay text, so that the model's answer cannot make the browser load anything.

import { create } from "./dom.js";

const FENCE = /^\s*```/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const BULLET = /^\s*[-*+]\s+(.*)$/;
const NUMBER = /^\s*\d{1,3}[.)]\s+(.*)$/;
const QUOTE = /^\s*>\s?(.*)$/;
const INLINE = /(`+)(.+?)\1|\*\*(?=\S)(.+?)\*\*|\*(?=[^\s*])([^*]*[^\s*])\*/s;

const shown = new WeakMap();

/** Shows `text` in `container`. Unchanged blocks keep their elements, and so their selection. */
export function renderMarkdown(container, text) {
  const blocks = splitBlocks(text);
  const before = shown.get(container) ?? [];
  const changed = blocks.findIndex((block, index) => block.source !== before[index]?.source);
  const keep = changed < 0 ? blocks.length : changed;
  while (container.childNodes.length > keep) container.lastChild.remove();
  container.append(...blocks.slice(keep).map((block) => block.build()));
  shown.set(container, blocks);
}

function splitBlocks(text) {
  const lines = text.split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    const [length, build] = parseBlock(lines, at);
    if (build) blocks.push({ source: lines.slice(at, at + length).join("\n"), build });
    at += length;
  }
  return blocks;
}

// Returns how many lines the block at line `at` has, and a function that creates its element.
function parseBlock(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [1, null];
  if (FENCE.test(line)) return parseFence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [1, () => create("p", { class: "heading" }, ...parseInline(heading[2]))];
  for (const [pattern, tag] of [[BULLET, "ul"], [NUMBER, "ol"]]) {
    const items = matchLines(lines, at, pattern);
    if (items.length) return [items.length, () => createList(tag, items, line)];
  }
  const quoted = matchLines(lines, at, QUOTE);
  if (quoted.length) return [quoted.length, () => create("blockquote", {}, ...parseInline(quoted.join("\n")))];
  const paragraph = lines.slice(at);
  const end = paragraph.findIndex((next, index) => index > 0 && startsBlock(next));
  const own = end < 0 ? paragraph : paragraph.slice(0, end);
  return [own.length, () => create("p", {}, ...parseInline(own.join("\n")))];
}

function startsBlock(line) {
  return !line.trim() || [FENCE, HEADING, BULLET, NUMBER, QUOTE].some((pattern) => pattern.test(line));
}

function parseFence(lines, at) {
  const end = lines.findIndex((line, index) => index > at && FENCE.test(line));
  const last = end < 0 ? lines.length : end;
  const code = lines.slice(at + 1, last).join("\n");
  return [last - at + 1, () => create("pre", { tabindex: "0" }, create("code", {}, code))];
}

// Returns the captured text of consecutive lines that match.
function matchLines(lines, at, pattern) {
  const found = [];
  for (let match; at < lines.length && (match = pattern.exec(lines[at])); at += 1) found.push(match[1]);
  return found;
}

function createList(tag, items, firstLine) {
  const start = tag === "ol" ? String(Number.parseInt(firstLine, 10)) : null;
  return create(tag, { start }, ...items.map((item) => create("li", {}, ...parseInline(item))));
}

function parseInline(text) {
  const nodes = [];
  for (let match; (match = INLINE.exec(text)); ) {
    nodes.push(text.slice(0, match.index));
    const [whole, ticks, code, bold, italic] = match;
    if (ticks) nodes.push(create("code", {}, code));
    else nodes.push(create(bold ? "strong" : "em", {}, ...parseInline(bold ?? italic)));
    text = text.slice(match.index + whole.length);
  }
  return [...nodes, text].filter((node) => node !== "");
}
