"""The sheet that people judge on: one HTML file without other files, which writes CSV.

The systems have no names on it, and their sides change from image to image by a fixed shuffle, so
that a person cannot prefer a name or a side.
"""

import base64
import csv
import hashlib
import html
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import EvaluationError

_WIDTH = 512
"""Pixels of the longer side of an image on the sheet."""

COLUMNS = ("answer", "fulfilled", "comment")


@dataclass(frozen=True)
class Shown:
    """One image on the sheet with the answers to it.

    Attributes:
        id: Of the item: task and image.
        answers: From system to text.
    """

    id: str
    task: str
    prompt: str
    image: Path
    answers: Mapping[str, str]


def write_sheet(file: Path, items: Sequence[Shown]) -> None:
    """Write the sheet. The id of each answer is ``ITEM/NUMBER``; see :func:`order`."""
    template = files("service.experiments").joinpath("sheet.html").read_text("utf-8")
    body = "\n".join(_section(number, item) for number, item in enumerate(items, 1))
    answers = sum(len(item.answers) for item in items)
    key = hashlib.sha256(body.encode()).hexdigest()[:16]
    page = template.replace("{{answers}}", str(answers)).replace("{{key}}", key)
    page = page.replace("{{items}}", body)
    file.write_text(page, "utf-8")


def order(item: str, systems: Sequence[str]) -> list[str]:
    """The systems of one item from left to right; the same for the same names."""
    shuffled = sorted(systems)
    random.Random(item).shuffle(shuffled)  # noqa: S311
    return shuffled


def _section(number: int, item: Shown) -> str:
    cells = "".join(
        _cell(f"{item.id}/{place}", place, item.answers[system])
        for place, system in enumerate(order(item.id, list(item.answers)), 1)
    )
    return (
        f"<section><h2>{number}. {html.escape(item.task)}</h2>"
        f'<figure><img src="{_data_uri(item.image)}" alt="{html.escape(item.image.name)}">'
        f"<figcaption>{html.escape(item.prompt)}</figcaption></figure>"
        f'<div class="answers">{cells}</div></section>'
    )


def _cell(name: str, place: int, text: str) -> str:
    key = html.escape(name, quote=True)
    return (
        f'<fieldset data-answer="{key}"><legend>Answer {place}</legend>'
        f'<p class="text">{html.escape(text) or "<em>(empty)</em>"}</p>'
        f"<p>Does it do what was asked? "
        f'<label><input type="radio" name="{key}" value="yes"> yes</label> '
        f'<label><input type="radio" name="{key}" value="no"> no</label></p>'
        f'<label>Comment <input type="text" class="comment"></label></fieldset>'
    )


def _data_uri(file: Path) -> str:
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise EvaluationError(f"{file} cannot be read as an image: {error}.") from error
    image.thumbnail((_WIDTH, _WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read_verdicts(file: Path, known: set[str]) -> dict[str, bool]:
    """A person's CSV file: from the id of an answer to yes or no. Unanswered lines are left out.

    Raises:
        EvaluationError: the file is not one of the sheet's, or names answers of another sheet.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file} cannot be read: {error}.") from error
    verdicts: dict[str, bool] = {}
    for number, line in enumerate(lines, 2):
        name, said = line.get(COLUMNS[0]), (line.get(COLUMNS[1]) or "").strip().lower()
        if name not in known or said not in ("yes", "no", ""):
            raise EvaluationError(
                f"{file}, line {number}: an answer of this sheet and yes or no are needed, not "
                f"{name!r} and {said!r}."
            )
        if said:
            verdicts[name] = said == "yes"
    if not verdicts:
        raise EvaluationError(f"{file} has no verdicts (columns {', '.join(COLUMNS)}).")
    return verdicts
