"""The words that make an answer true or false, and how their embeddings start."""

from service.demo.text_side.codec import Codec
from service.demo.text_side.slots import CONFUSABLE, PLACES
from service.scenes.conversations.wording import PLURALS
from service.scenes.scene import BACKGROUNDS, COLOURS, KINDS, SIZES, TEXTS


def list_fact_tokens(codec: Codec) -> list[int]:
    """Return the ids of all fact words, with and without ``▁``."""
    words = {*CONFUSABLE, "no", "nothing", "Nothing", "above", "below", "first", "second", "both"}
    words |= {"corner", "centre", "line"}
    # Small words decide as well: how a place begins, whether an object counts, whether it was the
    # last.
    words |= {"In", "On", "At", "in", "on", "at", "to", "(", "so"}
    segments = {codec.encode_segment(word)[-1] for word in words}
    return sorted(segments | {codec.encode_continuation(word)[-1] for word in words})


def list_axes(codec: Codec) -> list[dict[int, float]]:
    """Return for each axis the ids of the words along it: one for each word that slots hold."""
    words = (*KINDS, *COLOURS, *PLACES, *TEXTS, *SIZES, *BACKGROUNDS, "background", "written")
    axes = [
        dict.fromkeys((codec.encode_word(word), codec.encode_continuation(word)[-1]), 1.0)
        for word in dict.fromkeys(words)
    ]
    # Places of one row or column have an axis in common, because relations are about these.
    for line in range(3):
        row = [PLACES[3 * line + other] for other in range(3)]
        column = [PLACES[3 * other + line] for other in range(3)]
        axes.append({codec.encode_word(place): 0.5 for place in row})
        axes.append({codec.encode_word(place): 0.5 for place in column})
    return axes


def list_plurals(codec: Codec) -> dict[int, list[int]]:
    """Return the ids of the plurals, each with the id of its singular."""
    return {codec.encode_word(many): [codec.encode_word(one)] for one, many in PLURALS.items()}
