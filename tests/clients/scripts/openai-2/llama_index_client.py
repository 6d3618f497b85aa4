"""Asks with LlamaIndex's OpenAILike; prints the answers as JSON."""

import asyncio
import json
import os
from pathlib import Path
from typing import Literal

from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

URL, MODEL, QUESTION = (os.environ[name] for name in ("URL", "MODEL", "QUESTION"))
PICTURE = Path(os.environ["PICTURE"])


class Scene(BaseModel):
    """What the picture shows."""

    background: Literal["white", "black", "grey", "beige"]


MESSAGES = [
    ChatMessage(role="user", blocks=[TextBlock(text=QUESTION), ImageBlock(path=PICTURE)]),
]


def connect(**options: object) -> OpenAILike:
    asked = {
        "model": MODEL,
        "api_base": f"{URL}/v1",
        "api_key": "unused",
        "is_chat_model": True,
        "context_window": 2048,
        "max_retries": 0,
    }
    return OpenAILike(**{**asked, **options})


def structured(**options: object) -> dict[str, str]:
    return connect(**options).as_structured_llm(Scene).chat(MESSAGES).raw.model_dump()


async def asynchronous() -> str:
    return (await connect().achat(MESSAGES)).message.content


def error(**options: object) -> str:
    try:
        connect(**options).chat(MESSAGES)
    except Exception as raised:
        return str(raised)
    return "none"


print(
    json.dumps(
        {
            "chat": connect().chat(MESSAGES).message.content,
            "stream": [piece.delta for piece in connect().stream_chat(MESSAGES)],
            "asynchronous": asyncio.run(asynchronous()),
            "structured": structured(should_use_structured_outputs=True),
            "function": structured(is_function_calling_model=True),
            "unknown model": error(model="gpt-4o"),
            "bad request": error(additional_kwargs={"top_p": 7}),
        }
    )
)
