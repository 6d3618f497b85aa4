"""What the judge of caption coverage reads and says, in two protocols.

Sources: Zhu et al. 2023, *MiniGPT-4*, appendix A.3 (``all``), and its arXiv version 2 (``one``):
    the prompts.
"""

import random
from collections.abc import Sequence
from typing import Literal

from service.experiments.judge import read_numbered, read_yes_no

Protocol = Literal["all", "one"]

_ALL = """Given a test image description and a list of gt image caption,
verify whether the information in gt caption is included in the test description. The answer should be yes or no.
Input is in this format:
Test: (test sentence)
1: (gt1)
2: (gt2)
3: (gt3)
you need to answer yes or no for each gt in the following format:
1: (yes/no)
2: (yes/no)
3: (yes/no)

Test: {}
"""
_ONE = (
    "There is one image caption1 '{1}', and there is another image caption2 '{2}'. Does image caption2 cover "
    "all the objects and visual relations shown in image caption1? Only answer yes or no without any "
    "explanation."
)


def pick(protocol: Protocol, item: str, captions: list[str]) -> list[str]:
    """The captions of an image that are judged: all, or one that is the same on every run."""
    return captions if protocol == "all" else [random.Random(item).choice(captions)]  # noqa: S311


def case_text(protocol: Protocol, description: str, captions: Sequence[str]) -> str:
    """What the judge reads about one image."""
    if protocol == "one":
        return _ONE.replace("{1}", captions[0]).replace("{2}", description)
    listed = "\n".join(f"{number}: {one}" for number, one in enumerate(captions, 1))
    return _ALL.replace("{}", " ".join(description.split())) + listed


def read_verdicts(protocol: Protocol, text: str, number: int) -> list[bool | None]:
    """Whether each caption is covered; None where the judge's answer does not say."""
    return [read_yes_no(text)] if protocol == "one" else read_numbered(text, number)
