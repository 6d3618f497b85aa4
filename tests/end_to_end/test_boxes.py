"""Boxes of a running MiniGPT-v2: constrained, in pixels of the sent image, and in streams."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from PIL import Image

from service.boxes import GRID
from service.model_folder.layout import ModelFolder
from tests.pictures import data_uri, encoded, picture
from tests.server import ServerProcess

QUESTION = "[refer] give me the location of the disc"


@pytest.fixture(scope="module")
def client(tiny_model: Callable[[str], ModelFolder]) -> Iterator[OpenAI]:
    process = ServerProcess(tiny_model("minigpt-v2").root, ["--max-model-len", "2048"])
    try:
        yield process.start().openai()
    finally:
        process.stop()


def turned(size: tuple[int, int]) -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    picture(size=size).save(buffer, "JPEG", exif=exif)
    return data_uri(buffer.getvalue(), "image/jpeg")


def ask(client: OpenAI, *uris: str, **extra: Any) -> Any:
    images = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    content: Any = [*images, {"type": "text", "text": QUESTION}]
    stream = extra.pop("stream", False)
    return client.chat.completions.create(
        model="minigpt-v2",
        messages=[{"role": "user", "content": content}],
        stream=stream,
        seed=5,
        extra_body={"response_format": {"type": "boxes", "max": 2}, **extra},
    )


def expected_box(text: str, size: tuple[int, int]) -> list[list[float]]:
    boxes = []
    for found in re.findall(r"\{<(\d+)><(\d+)><(\d+)><(\d+)>\}", text):
        numbers = [int(number) for number in found]
        (left, right), (top, bottom) = sorted(numbers[::2]), sorted(numbers[1::2])
        width, height = size[0] / GRID, size[1] / GRID
        boxes.append([left * width, top * height, right * width, bottom * height])
    return boxes


@pytest.mark.parametrize(
    ("uri", "orientation", "size"),
    [
        (data_uri(encoded(picture(size=(641, 33)))), "stored", (641, 33)),
        (turned((61, 40)), "stored", (61, 40)),
        (turned((61, 40)), "exif", (40, 61)),
    ],
    ids=["wide", "stored", "upright"],
)
def test_boxes_are_pixels_of_the_image_as_sent(
    client: OpenAI, uri: str, orientation: str, size: tuple[int, int]
) -> None:
    options = {"media_io_kwargs": {"image": {"orientation": orientation}}}
    choice = ask(client, uri, **options).choices[0]
    expected = expected_box(choice.message.content, size)
    assert expected, "the answer is bound to hold a box"
    assert [box["box"] for box in choice.boxes] == [pytest.approx(box) for box in expected]
    chunks = list(ask(client, uri, stream=True, **options))
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == choice.message.content
    ended = [each.choices[0] for each in chunks if each.choices and each.choices[0].finish_reason]
    assert [each.boxes for each in ended] == [choice.boxes]


def test_boxes_lie_in_the_last_image(client: OpenAI) -> None:
    uris = [data_uri(encoded(picture(size=size))) for size in ((50, 50), (200, 30))]
    choice = ask(client, *uris).choices[0]
    boxes = expected_box(choice.message.content, (200, 30))
    assert [(box["image"], box["box"]) for box in choice.boxes] == [
        (1, pytest.approx(box)) for box in boxes
    ]


def test_the_card_says_that_answers_hold_boxes(client: OpenAI) -> None:
    assert "boxes" in client.models.list().data[0].features  # type: ignore[attr-defined]


def test_a_format_that_is_no_box_is_refused(client: OpenAI) -> None:
    uri = data_uri(encoded(picture()))
    with pytest.raises(BadRequestError, match="max"):
        ask(client, uri, response_format={"type": "boxes", "max": "x"})
