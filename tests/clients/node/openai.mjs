// Asks with openai-node, as its documentation shows; prints the answers as JSON.
import fs from "node:fs";
import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const { URL: address, MODEL: model, PICTURE: picture, QUESTION: question } = process.env;
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "unused" });
const url = `data:image/png;base64,${fs.readFileSync(picture).toString("base64")}`;
const messages = [
  {
    role: "user",
    content: [
      { type: "text", text: question },
      { type: "image_url", image_url: { url } },
    ],
  },
];
const input = (image) => [
  { role: "user", content: [{ type: "input_text", text: question }, { type: "input_image", ...image }] },
];
const Scene = z.object({ background: z.enum(["white", "black", "grey", "beige"]) });

async function chat() {
  const completion = await client.chat.completions.create({ model, messages });
  return completion.choices[0].message.content;
}

async function stream() {
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    pieces.push(chunk.choices[0]?.delta?.content ?? "");
  }
  return pieces;
}

async function structured() {
  const completion = await client.chat.completions.parse({
    model,
    messages,
    response_format: zodResponseFormat(Scene, "scene"),
  });
  return completion.choices[0].message.parsed;
}

async function responses() {
  return (await client.responses.create({ model, input: input({ image_url: url }) })).output_text;
}

async function responsesStream() {
  const pieces = [];
  for await (const event of client.responses.stream({ model, input: input({ image_url: url }) })) {
    if (event.type === "response.output_text.delta") pieces.push(event.delta);
  }
  return pieces;
}

async function files() {
  const file = await toFile(fs.createReadStream(picture), "picture.png");
  const uploaded = await client.files.create({ file, purpose: "vision" });
  const response = await client.responses.create({ model, input: input({ file_id: uploaded.id }) });
  const deleted = await client.files.delete(uploaded.id);
  return { answer: response.output_text, deleted: deleted.deleted };
}

async function error(changes) {
  try {
    await client.chat.completions.create({ model, messages, ...changes });
  } catch (raised) {
    return { name: raised.constructor.name, status: raised.status, message: raised.message };
  }
}

console.log(
  JSON.stringify({
    chat: await chat(),
    stream: await stream(),
    structured: await structured(),
    responses: await responses(),
    "responses stream": await responsesStream(),
    files: await files(),
    "unknown model": await error({ model: "gpt-4o" }),
    "bad request": await error({ temperature: -1 }),
  }),
);
