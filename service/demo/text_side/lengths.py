"""How long training sequences are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Lengths in tokens.

    Attributes:
        drill: A drill gets more turns until it has this many tokens.
        conversation: A conversation gets more turns until it has this many tokens.
        most: Longer sequences are cut; otherwise most of a batch would be padding.
    """

    drill: int = 100
    conversation: int = 170
    most: int = 240


SHORT = Lengths()
LONG = Lengths(drill=300, conversation=400, most=480)
"""As long as the conversations of a user become."""
