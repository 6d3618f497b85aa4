"""Ask with pydantic-ai, with each kind of output; print the answers as JSON."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

URL, MODEL, QUESTION = (os.environ[name] for name in ("URL", "MODEL", "QUESTION"))
PICTURE = Path(os.environ["PICTURE"]).read_bytes()

PROVIDER = OpenAICompatibleProvider(name="minigpt4", base_url=f"{URL}/v1", api_key="unused")
PROMPT: list[Any] = [QUESTION, BinaryContent(data=PICTURE, media_type="image/png")]


class Scene(BaseModel):
    """What the picture shows."""

    background: Literal["white", "black", "grey", "beige"]


async def stream(model: Any) -> list[str]:
    async with Agent(model).run_stream(PROMPT) as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


async def extract(model: Any, output: Any) -> dict[str, str]:
    result = await Agent(model, output_type=output).run(PROMPT)
    return result.output.model_dump()


async def converse(model: Any) -> str:
    first = await Agent(model, output_type=ToolOutput(Scene)).run(PROMPT)
    return (await Agent(model).run(QUESTION, message_history=first.all_messages())).output


async def error(model: str, prompt: Any) -> int:
    try:
        await Agent(OpenAIChatModel(model, provider=PROVIDER)).run(prompt)
    except ModelHTTPError as raised:
        return raised.status_code
    return 0


async def ask(model: Any) -> dict[str, Any]:
    return {
        "answer": (await Agent(model).run(PROMPT)).output,
        "stream": await stream(model),
        "native": await extract(model, NativeOutput(Scene)),
        "tool": await extract(model, ToolOutput(Scene)),
        "default": await extract(model, Scene),
        "conversation": await converse(model),
    }


async def main() -> None:
    broken = BinaryContent(data=b"no image", media_type="image/png")
    answers = {
        "chat": await ask(OpenAIChatModel(MODEL, provider=PROVIDER)),
        "responses": await ask(OpenAIResponsesModel(MODEL, provider=PROVIDER)),
        "unknown model": await error("gpt-4o", "Hello"),
        "bad request": await error(MODEL, [QUESTION, broken]),
    }
    print(json.dumps(answers))


asyncio.run(main())
