"""Asks with instructor, by the modes that bind the answer; prints the answers as JSON."""

import asyncio
import json
import os
from pathlib import Path
from typing import Literal

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

URL, MODEL, QUESTION = (os.environ[name] for name in ("URL", "MODEL", "QUESTION"))
PICTURE = Path(os.environ["PICTURE"])

SERVER = {"base_url": f"{URL}/v1", "api_key": "unused"}


class Scene(BaseModel):
    """What the picture shows."""

    background: Literal["white", "black", "grey", "beige"]


MESSAGES = [
    {"role": "user", "content": [QUESTION, instructor.Image.from_path(PICTURE)]},
]


def extract(mode: instructor.Mode) -> dict[str, str]:
    client = instructor.from_openai(OpenAI(**SERVER), mode=mode)
    scene = client.chat.completions.create(
        model=MODEL, response_model=Scene, messages=MESSAGES, max_retries=0
    )
    return scene.model_dump()


async def extract_asynchronously() -> dict[str, str]:
    client = instructor.from_openai(AsyncOpenAI(**SERVER))
    scene = await client.chat.completions.create(
        model=MODEL, response_model=Scene, messages=MESSAGES, max_retries=0
    )
    return scene.model_dump()


def extract_partially() -> list[dict[str, str | None]]:
    client = instructor.from_openai(OpenAI(**SERVER))
    partial = client.chat.completions.create_partial(
        model=MODEL, response_model=Scene, messages=MESSAGES, max_retries=0
    )
    return [scene.model_dump() for scene in partial]


def error(**options: object) -> str:
    client = instructor.from_openai(OpenAI(**SERVER))
    asked = {"model": MODEL, "response_model": Scene, "messages": MESSAGES, "max_retries": 0}
    try:
        client.chat.completions.create(**{**asked, **options})
    except Exception as raised:
        return str(raised)
    return "none"


print(
    json.dumps(
        {
            "tools": extract(instructor.Mode.TOOLS),
            "json_schema": extract(instructor.Mode.JSON_SCHEMA),
            "asynchronous": asyncio.run(extract_asynchronously()),
            "partial": extract_partially(),
            "unknown model": error(model="gpt-4o"),
            "bad request": error(temperature=-1),
        }
    )
)
