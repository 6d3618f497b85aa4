"""The picture that every client asks about, and what is in it."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tests.pictures import data_uri

PICTURE = Path(str(files("service"))) / "models" / "demo" / "examples" / "stars-in-the-dark.png"
URI = data_uri(PICTURE.read_bytes())
QUESTION = "What colour is the background?"
ANSWER: Final = "black"

MODEL = "demo"
NO_MODEL = "gpt-4o"
"""A name that clients often send; the service does not have it."""

COLOURS = ("white", "black", "grey", "beige")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"background": {"type": "string", "enum": list(COLOURS)}},
    "required": ["background"],
    "additionalProperties": False,
}
"""For structured output: the answer to ``QUESTION``."""
