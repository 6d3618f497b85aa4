"""The published members of the MiniGPT-4 family: what differs between them, as data.

Sources: the paper (Zhu et al. 2023, arXiv:2304.10592, section 3), MiniGPT-v2
(Chen et al. 2023, arXiv:2310.09478) and the behaviour of the authors' released code.
"""

from dataclasses import dataclass
from typing import Final, Literal

FamilyName = Literal["minigpt4-vicuna", "minigpt4-llama2", "minigpt-v2"]
IMAGE_TOKEN: Final = "<ImageHere>"  # noqa: S105 - the placeholder's name in the original's prompts


@dataclass(frozen=True)
class Family:
    """What is fixed for every checkpoint of one family.

    Attributes:
        name: Key in ``model_index.json`` and on the command line.
        image_size: Side of the square image the encoder sees, in pixels.
        uses_qformer: Whether a Q-Former's query tokens, or groups of patch features, are projected.
        chat_template: File name below ``service/prompt/templates``.
        stop: Strings that end an answer besides the end-of-sequence token.
    """

    name: FamilyName
    image_size: int
    uses_qformer: bool
    chat_template: str
    stop: tuple[str, ...]


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("minigpt4-vicuna", 224, True, "vicuna_v0.jinja", ("###",)),
        Family("minigpt4-llama2", 224, False, "llama2.jinja", ("###",)),
        Family("minigpt-v2", 448, False, "minigpt_v2.jinja", ()),
    )
}

QUERY_TOKENS = 32
"""Visual tokens of a Q-Former family: one per query token."""

PATCHES_PER_TOKEN = 4
"""Neighbouring patch features (raster order) that one visual token concatenates, without a Q-Former."""

DEFAULT_SAMPLING: dict[str, float] = {
    "temperature": 1.0,
    "top_p": 0.9,
    "repetition_penalty": 1.05,
}
"""The original demo's sampling, used where a request does not say otherwise."""

DEFAULT_MAX_TOKENS = 300
"""The original demo's answer length in tokens, used where a request does not say otherwise."""
