"""Ask with litellm as its documentation shows; print the answers as JSON."""

import asyncio
import base64
import json
import os
from pathlib import Path

import litellm
from litellm import acompletion, completion

URL, MODEL, QUESTION = (os.environ[name] for name in ("URL", "MODEL", "QUESTION"))
PICTURE = base64.b64encode(Path(os.environ["PICTURE"]).read_bytes()).decode()

SERVER = {"api_base": f"{URL}/v1", "api_key": "unused"}
MESSAGES = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": QUESTION},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        ],
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"background": {"enum": ["white", "black", "grey", "beige"]}},
    "required": ["background"],
    "additionalProperties": False,
}


def ask(**options: object) -> object:
    return completion(**{"model": f"openai/{MODEL}", "messages": MESSAGES, **SERVER, **options})


def chat(provider: str) -> str:
    return ask(model=f"{provider}/{MODEL}").choices[0].message.content


def stream() -> list[str]:
    return [chunk.choices[0].delta.content or "" for chunk in ask(stream=True)]


async def asynchronous() -> str:
    answer = await acompletion(model=f"openai/{MODEL}", messages=MESSAGES, **SERVER)
    return answer.choices[0].message.content


def structured() -> dict[str, str]:
    wanted = {"type": "json_schema", "json_schema": {"name": "scene", "schema": SCHEMA}}
    return json.loads(ask(response_format=wanted).choices[0].message.content)


def function() -> dict[str, str]:
    tool = {"type": "function", "function": {"name": "scene", "parameters": SCHEMA}}
    named = {"type": "function", "function": {"name": "scene"}}
    (call,) = ask(tools=[tool], tool_choice=named).choices[0].message.tool_calls
    return json.loads(call.function.arguments)


def error(**options: object) -> str:
    try:
        ask(**options)
    except litellm.exceptions.APIError as raised:
        return type(raised).__name__
    except Exception as raised:
        return type(raised).__name__
    return "none"


print(
    json.dumps(
        {
            "chat": chat("openai"),
            "hosted_vllm": chat("hosted_vllm"),
            "stream": stream(),
            "asynchronous": asyncio.run(asynchronous()),
            "structured": structured(),
            "function": function(),
            "unknown model": error(model="openai/gpt-4o"),
            "bad request": error(temperature=-1),
        }
    )
)
