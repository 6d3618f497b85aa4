"""What is wrong with a detailed description or a poem, as far as its text shows.

Source: Zhu et al. 2023, *MiniGPT-4*, section 4.3 (arXiv version 2: people counted failures by hand:
repeated words or sentences, fragments, irrelevant content). The paper gives no rules. These are
ours, and :mod:`.failures` writes each verdict beside its text, so that people can check them.
"""

import re
from dataclasses import dataclass
from typing import Literal

from service.text_quality import has_loop, split_lines, split_sentences

Task = Literal["caption", "poem"]

REASONS = ("refusal", "irrelevant", "repetition", "fragment", "unfinished")

_REFUSAL = re.compile(
    r"""
      \b(please|kindly|could\ you|can\ you|would\ you)\s+(first\s+)?
          (send|upload|provide|share|attach|insert|show\ me)\b
    | \bi(\ am|'m)?\s+(can\ ?not|can't|could\ not|couldn't|unable\ to|not\ able\ to)\s+(\w+\s+){0,3}?
          (see|view|access|open|display|process|describe|help|assist|write|create)\b
    | \bi\s+(do\ not|don't)\s+(see|have)\s+(access|any\ |an\ |the\ )(image|picture|photo)?
    | \bno\s+(image|picture|photo)\s+((was|is|has\ been)\s+)?(provided|attached|given|available|here)\b
    | \bas\s+an?\s+(ai|artificial\ intelligence|(large\ )?language\ model)\b
    | \bi(\ am|'m)\s+sorry\b | \bi\s+apologi[sz]e\b
    """,
    re.VERBOSE,
)
_VERB = re.compile(
    r"\b(is|are|was|were|be|has|have|had|can|could|will|would|may|might|seems?|appears?|stands?|sits?|"
    r"lies?|shows?|features?|depicts?|contains?|includes?|displays?|captures?|holds?|wears?|looks?|"
    r"there's|it's|he's|she's|they're|\w+ing|\w+ed)\b"
)
_END = re.compile(r"""[.!?\u2026]["'\u201d\u2019)\]*]*$""")
_OPEN_END = re.compile(
    r"(,|\b(a|an|the|and|or|but|of|in|on|at|to|for|with|from|by|as|is|are|was|were|that|which))$"
)
_FEW_WORDS = 5


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one answer.

    Attributes:
        reasons: Out of :data:`REASONS`, in that order. A refusal has no other reason.
    """

    reasons: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.reasons)


def judge_text(task: Task, text: str, *, truncated: bool, relevant: bool | None = None) -> Verdict:
    """Judge an answer.

    Args:
        truncated: Whether the service ended it at the longest length.
        relevant: The verdict of a judge who saw the image; None without a judge.
    """
    text = text.strip()
    lower = text.lower().replace("\u2019", "'")
    if _REFUSAL.search(lower):
        return Verdict(("refusal",))
    parts = split_lines(lower) if task == "poem" else split_sentences(lower)
    found = {
        "irrelevant": relevant is False,
        "repetition": _repeats(task, parts) or has_loop(lower),
        "fragment": _is_fragment(task, parts),
        "unfinished": truncated or _is_unfinished(task, lower),
    }
    return Verdict(tuple(reason for reason in REASONS if found.get(reason)))


def _repeats(task: Task, parts: list[str]) -> bool:
    """A sentence twice, or a line of a poem three times: a refrain may come back once."""
    allowed = 2 if task == "poem" else 1
    return any(parts.count(part) > allowed for part in set(parts))


def _is_fragment(task: Task, parts: list[str]) -> bool:
    """A few words in all; a poem of one line; a description whose sentences mostly lack a verb."""
    if sum(len(part.split()) for part in parts) < _FEW_WORDS:
        return True
    if task == "poem":
        return len(parts) < 2
    without = sum(not _VERB.search(part) for part in parts)
    return 2 * without > len(parts)


def _is_unfinished(task: Task, text: str) -> bool:
    """A description needs a mark at its end; a poem may do without, but not stop before a noun."""
    if _END.search(text):
        return False
    return task == "caption" or bool(_OPEN_END.search(text))
