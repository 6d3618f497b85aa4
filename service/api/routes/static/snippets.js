// Writes a request as curl and as Python code. The code reads the pictures from files, so it is short
// but complete.

const PLAIN_FIELDS = new Set(["model", "messages", "temperature", "top_p", "max_tokens", "seed", "n"]);

/** Chooses file names for pictures: unique, and safe in a shell and in a string. */
export function chooseFileNames(pictures) {
  const names = new Map();
  for (const picture of pictures) {
    const clean = picture.name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+/, "") || "picture";
    const [, stem, ending] = /^(.*?)(\.[^.]*)?$/.exec(clean);
    const taken = new Set(names.values());
    let name = clean;
    for (let number = 2; taken.has(name); number += 1) name = `${stem}-${number}${ending ?? ""}`;
    names.set(picture, name);
  }
  return names;
}

/** Writes a curl command for POSIX shells. `names` maps pictures to files. */
export function buildCurl(base, body, names, withKey) {
  const files = mapFilesByUrl(names);
  const replaceByMark = (name, value) => (name === "url" ? (files.get(value)?.mark ?? value) : value);
  // In the here-document, $(...) reads the files. Escape the special characters of all other text.
  let text = JSON.stringify(body, replaceByMark, 2).replace(/[\\$`]/g, "\\$&");
  for (const { mark, type, name } of files.values()) {
    text = text.replaceAll(mark, () => `data:${type};base64,$(base64 < ${name} | tr -d '\\n')`);
  }
  const key = withKey ? ` \\\n  -H "Authorization: Bearer $OPENAI_API_KEY"` : "";
  return (
    `curl ${base}v1/chat/completions \\\n  -H 'Content-Type: application/json'${key} \\\n` +
    `  --data-binary @- <<JSON\n${text}\nJSON\n`
  );
}

/** Writes a Python program that uses OpenAI's client. */
export function buildPython(base, body, names, withKey) {
  const files = mapFilesByUrl(names);
  const plain = Object.entries(body).filter(([name]) => PLAIN_FIELDS.has(name));
  const extra = Object.entries(body).filter(([name]) => !PLAIN_FIELDS.has(name));
  const lines = plain.map(([name, value]) => `    ${name}=${formatLiteral(value, files, "    ")},`);
  if (extra.length) lines.push(`    extra_body=${formatLiteral(Object.fromEntries(extra), files, "    ")},`);
  const key = withKey ? 'os.environ["OPENAI_API_KEY"]' : '"unused"';
  const imports = [files.size && "import base64", withKey && "import os", files.size && "from pathlib import Path"];
  return [
    ...imports.filter(Boolean),
    imports.some(Boolean) ? "" : null,
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${base}v1", api_key=${key})`,
    "",
    files.size ? PICTURE_FUNCTION : null,
    "response = client.chat.completions.create(",
    ...lines,
    ")",
    "print(response.choices[0].message.content)",
    "",
  ]
    .filter((line) => line !== null)
    .join("\n");
}

const PICTURE_FUNCTION = `
def picture(file, media_type):
    data = base64.b64encode(Path(file).read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}

`;

// `mark` is a random text that stands for a file while the rest of the text is escaped.
function mapFilesByUrl(names) {
  const mark = () => `file-${Math.random()}-${Math.random()}`;
  return new Map(
    [...names].map(([{ part, type }, name]) => [part.image_url.url, { type, name, mark: mark() }]),
  );
}

function formatLiteral(value, files, indent) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  // A JSON string is a valid Python string.
  if (typeof value !== "object") return JSON.stringify(value);
  const file = files.get(value.image_url?.url);
  if (file) return `picture(${JSON.stringify(file.name)}, ${JSON.stringify(file.type)})`;
  const deeper = `${indent}    `;
  const items = Array.isArray(value)
    ? value.map((item) => formatLiteral(item, files, deeper))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${formatLiteral(item, files, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${items.join(", ")}${close}`;
  if (!line.includes("\n") && line.length + indent.length < 88) return line;
  return `${open}\n${items.map((item) => `${deeper}${item},\n`).join("")}${indent}${close}`;
}
