"""JSON records of a data set to turns: a caption, an instruction with its answer, a conversation.

A field that is not known is refused by its name: a misspelt field that is left out would silently
train something else.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from service.errors import DatasetError
from service.families import IMAGE_TOKEN
from service.training.samples import BadKind, Turn, find_caption_problem

IMAGE_FIELDS: Final = ("image", "images")
TEXT_FIELDS: Final = ("caption", "instruction", "answer", "conversations")
LIST_FIELDS: Final = (
    *IMAGE_FIELDS,
    *TEXT_FIELDS,
    "id",
    # What `curate` writes for people.
    "keep",
    "problems",
    "tokens",
    "raw",
)
"""Fields of a line of a JSONL, or of an entry of a JSON list."""

_IMAGE_TAG = re.compile(f"<image>|{IMAGE_TOKEN}")
_SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}


class BadRecordError(ValueError):
    """A record holds no usable sample; ``kind`` and ``detail`` are a bad sample's."""

    def __init__(self, kind: BadKind, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


def refuse_unknown_fields(record: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise :class:`DatasetError` that names the first field which is not known."""
    names = list(known)
    for name in record:
        if name not in names:
            raise DatasetError(
                f"{where}: the field {name!r} is unknown. Fields: {', '.join(names)}. Rename or "
                "remove it; a field that is left out would change what is trained."
            )


def list_images(record: Mapping[str, Any]) -> list[str]:
    """Return the image names of a record, from ``image`` (a name or a list) or ``images``.

    Raises:
        BadRecordError: a name is not a text or a number.
    """
    given = [record[field] for field in IMAGE_FIELDS if field in record]
    if len(given) > 1:
        raise BadRecordError("no image", 'both "image" and "images"')
    names = given[0] if given and isinstance(given[0], list) else given
    if any(
        isinstance(name, bool) or not isinstance(name, str | int) or name == "" for name in names
    ):
        raise BadRecordError("no image", "an image's name must be a text")
    return [str(name) for name in names]


def parse_turns(record: Mapping[str, Any], images: int) -> tuple[Turn, ...]:
    """Return the turns of a record with this number of images.

    Raises:
        BadRecordError: the texts cannot be learnt, or their image tags do not fit the images.
    """
    given = [field for field in ("caption", "instruction", "conversations") if field in record]
    if len(given) > 1 or ("answer" in record and given not in ([], ["instruction"])):
        raise BadRecordError("two kinds of text", " and ".join([*given, "answer"][:2]))
    if given == ["conversations"]:
        return _place_images(_parse_conversation(record["conversations"]), images)
    if given == ["instruction"] or "answer" in record:
        pair = _check_text(record.get("instruction"), "instruction"), _check_answer(record)
        return _place_images([pair], images)
    problem = find_caption_problem(record.get("caption"))
    if problem:
        raise BadRecordError(problem)
    if images != 1:
        raise BadRecordError("no image", "a caption needs one image")
    return (Turn(None, record["caption"]),)


def _check_answer(record: Mapping[str, Any]) -> str:
    if "answer" not in record:
        raise BadRecordError("no answer", 'an "instruction" needs an "answer"')
    return _check_answer_text(record["answer"])


def _parse_conversation(conversation: object) -> list[tuple[str, str]]:
    if not isinstance(conversation, list) or not conversation or len(conversation) % 2:
        raise BadRecordError("turns out of order", "a question and an answer must alternate")
    texts = []
    for number, message in enumerate(conversation):
        if not isinstance(message, dict) or message.keys() != {"from", "value"}:
            raise BadRecordError(
                "turns out of order", 'each message needs "from" and "value", and no other field'
            )
        expected = "gpt" if number % 2 else "human"
        if _SPEAKERS.get(str(message["from"])) != expected:
            raise BadRecordError(
                "turns out of order",
                f"message {number + 1} is from {message['from']!r}, not {expected!r}",
            )
        check = _check_answer_text if number % 2 else _check_question_text
        texts.append(check(message["value"]))
    return list(zip(texts[::2], texts[1::2], strict=True))


def _check_question_text(text: object) -> str:
    return _check_text(text, "question")


def _check_answer_text(text: object) -> str:
    answer = _check_text(text, "answer").strip()
    if _IMAGE_TAG.search(answer):
        raise BadRecordError("image tags that do not fit the images", "a tag in an answer")
    return answer


def _check_text(text: object, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise BadRecordError("no answer" if what == "answer" else "an unusable text", f"no {what}")
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        raise BadRecordError("an unusable text", f"the {what} is not valid text") from None
    return text


def _place_images(pairs: list[tuple[str, str]], images: int) -> tuple[Turn, ...]:
    """Split the questions at their image tags. Without a tag the images stand before the first."""
    questions = [_split_question(question) for question, _ in pairs]
    tags = sum(len(question) - 1 for question in questions)
    if tags == 0:
        questions[0] = ("",) * images + questions[0]
    elif tags != images:
        raise BadRecordError(
            "image tags that do not fit the images", f"{tags} tags, {images} images"
        )
    answers = [answer for _, answer in pairs]
    return tuple(Turn(q, answer) for q, answer in zip(questions, answers, strict=True))


def _split_question(question: str) -> tuple[str, ...]:
    first, *rest = [piece.strip() for piece in _IMAGE_TAG.split(question)]
    # Images after all of the text are moved before it, as in the prompts of the service.
    return (first, *rest) if any(rest) else ("",) * len(rest) + (first,)
