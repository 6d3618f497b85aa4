"""The published model families of MiniGPT-4 and how they differ, as data; composed models join them.

Sources: the paper (Zhu et al. 2023, arXiv:2304.10592, section 3), MiniGPT-v2
(Chen et al. 2023, arXiv:2310.09478) and the behaviour of the authors' released code.
"""

from dataclasses import dataclass
from typing import Final, Literal

FamilyName = Literal["minigpt4-vicuna", "minigpt4-llama2", "minigpt-v2", "composed"]
COMPOSED: Final = "composed"
"""The family of models that ``compose`` makes. The index of such a model holds its own data."""

IMAGE_TOKEN: Final = "<ImageHere>"  # noqa: S105 - the placeholder in the original's prompts


@dataclass(frozen=True)
class TurnFormat:
    """The text around a question and an answer, as a model is trained to read and write it.

    Attributes:
        start: Token at the start of every training sequence; empty if ``first`` holds it, or if the
            language model has none.
        first: Before the first question.
        later: Before each later question, in the place of the end mark of the answer before.
        answer: After the question. Training has a space before the answer's tag in Vicuna's format;
            the original's demo asks without it.
        end: End mark of the answer, which the model learns to say.
        said: The first sign of ``later``, which stands in the end mark's place.
    """

    start: str
    first: str
    later: str
    answer: str
    end: str
    said: str


@dataclass(frozen=True)
class Family:
    """Properties that all checkpoints of a family share.

    Attributes:
        name: Key in ``model_index.json`` and on the command line.
        image_size: Side of the encoder's square input, in pixels.
        uses_qformer: Whether the projection reads the query tokens of a Q-Former. If not, it reads
            groups of patch features.
        chat_template: Name of a file in ``service/prompt/templates``; empty for a composed model,
            whose tokenizer has the template of its language model.
        turn: Format of the training samples.
        stop: Strings that end an answer, in addition to the end-of-sequence token.
        grounds: Whether answers can hold boxes (:mod:`service.boxes`).
    """

    name: FamilyName
    image_size: int
    uses_qformer: bool
    chat_template: str
    turn: TurnFormat
    stop: tuple[str, ...]
    grounds: bool = False


_VICUNA = TurnFormat("<s>", "###Human: ", "###Human: ", " ###Assistant: ", "###", "###")
# In a prompt nothing closes an earlier answer, and every later question begins with <s>.
_LLAMA2 = TurnFormat("<s>", "[INST] ", "<s>[INST] ", " [/INST] ", "</s>", "<s>")
_MINIGPT_V2 = TurnFormat("<s>", "[INST] ", "<s>[INST] ", " [/INST]", "</s>", "<s>")

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("minigpt4-vicuna", 224, True, "vicuna_v0.jinja", _VICUNA, ("###",)),
        Family("minigpt4-llama2", 224, False, "llama2.jinja", _LLAMA2, ("###",)),
        Family("minigpt-v2", 448, False, "minigpt_v2.jinja", _MINIGPT_V2, (), grounds=True),
    )
}

QUERY_TOKENS = 32
"""Visual tokens of an image in a family with a Q-Former: one per query token."""

PATCHES_PER_TOKEN = 4
"""Consecutive patch features (raster order) in one visual token of a family without a Q-Former."""

DEFAULT_SAMPLING: dict[str, float] = {
    "temperature": 1.0,
    "top_p": 0.9,
    "repetition_penalty": 1.05,
}
"""The original demo's sampling, used for values that a request does not set."""

DEFAULT_MAX_TOKENS = 300
"""The original demo's maximum answer length in tokens, used if a request does not set one."""
