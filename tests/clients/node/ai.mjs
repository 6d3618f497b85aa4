// Asks with the Vercel AI SDK and its provider for OpenAI-compatible servers; prints the answers as JSON.
import fs from "node:fs";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, streamText } from "ai";
import { z } from "zod";

const { URL: address, MODEL: name, PICTURE: picture, QUESTION: question } = process.env;
const provider = createOpenAICompatible({
  name: "minigpt4",
  baseURL: `${address}/v1`,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(name);
const messages = [
  {
    role: "user",
    content: [
      { type: "text", text: question },
      { type: "file", data: fs.readFileSync(picture), mediaType: "image/png" },
    ],
  },
];
const schema = z.object({ background: z.enum(["white", "black", "grey", "beige"]) });

async function stream() {
  const result = streamText({ model, messages });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  return { pieces, tokens: (await result.usage).outputTokens };
}

async function error(changes) {
  try {
    await generateText({ model, messages, maxRetries: 0, ...changes });
  } catch (raised) {
    return { status: raised.statusCode, message: raised.message };
  }
}

const chat = await generateText({ model, messages });
const structured = await generateText({ model, messages, output: Output.object({ schema }) });
console.log(
  JSON.stringify({
    chat: chat.text,
    "finish reason": chat.finishReason,
    stream: await stream(),
    structured: structured.output,
    "unknown model": await error({ model: provider("gpt-4o") }),
    "bad request": await error({ temperature: -1 }),
  }),
);
