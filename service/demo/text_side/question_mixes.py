"""Which questions each batch of a round asks.

A round goes through its cycle batch by batch. An entry of the cycle is the kinds of questions of a
drill; a kind that stands there several times is asked more often. An empty entry means whole
conversations.
"""

from service.demo.text_side.lengths import LONG, SHORT, Lengths

Kinds = tuple[str, ...]
Cycle = tuple[Kinds, ...]

CONVERSATIONS: Kinds = ()
TWO_IMAGES: Kinds = ("compare",)

FIRST_KINDS: Kinds = (
    *("place", "colour", "shape", "where", "background", "count", "exists", "size", "written"),
)
"""Questions that one look at one slot answers."""

HARD_KINDS: Kinds = (
    *("relation",) * 5,
    *("count_some",) * 4,
    *("exists", "exists", "where", "place", "place", "colour", "shape", "size"),
)
STEPS_KINDS: Kinds = (
    *("relation",) * 5,
    *("count_some",) * 4,
    *("exists",) * 3,
    *("where", "place", "colour", "shape", "size"),
)
RELATIONS_KINDS: Kinds = (*("relation",) * 7, *STEPS_KINDS)
MANY_KINDS: Kinds = (*STEPS_KINDS, *("json", "describe") * 3, "poem")

FIRST_CYCLE: Cycle = (HARD_KINDS, HARD_KINDS, CONVERSATIONS, CONVERSATIONS, CONVERSATIONS)
HARD_CYCLE: Cycle = (HARD_KINDS, HARD_KINDS, HARD_KINDS, ("describe",), CONVERSATIONS)
STEPS_CYCLE: Cycle = (
    STEPS_KINDS,
    STEPS_KINDS,
    CONVERSATIONS,
    STEPS_KINDS,
    ("describe",),
    CONVERSATIONS,
)
RELATIONS_CYCLE: Cycle = (
    RELATIONS_KINDS,
    RELATIONS_KINDS,
    CONVERSATIONS,
    RELATIONS_KINDS,
    ("describe",),
)
COMPARE_CYCLE: Cycle = (
    TWO_IMAGES,
    STEPS_KINDS,
    TWO_IMAGES,
    RELATIONS_KINDS,
    CONVERSATIONS,
    TWO_IMAGES,
    ("describe",),
)
DISTORTED_CYCLE: Cycle = (
    STEPS_KINDS,
    ("exists",),
    TWO_IMAGES,
    CONVERSATIONS,
    STEPS_KINDS,
    ("describe",),
    ("exists", "place"),
)
LONG_CYCLE: Cycle = (MANY_KINDS, CONVERSATIONS, ("json",), MANY_KINDS, TWO_IMAGES)
MIXED_CYCLE: Cycle = (
    ("exists",),
    MANY_KINDS,
    ("exists", "place"),
    CONVERSATIONS,
    ("exists",),
    TWO_IMAGES,
    STEPS_KINDS,
)
MIXED_LENGTHS: tuple[Lengths, ...] = (SHORT, LONG, SHORT, LONG, SHORT, LONG, SHORT)
"""Lengths of the last round's batches, in step with its cycle."""
