"""The number of attention heads, which tensors do not show."""

from service.errors import CheckpointError


def choose_heads(part: str, width: int, head_width: int, given: int | None) -> int:
    """Return the given number of heads, or the one that follows from the published width of a head.

    Args:
        part: ``ViT`` or ``Q-Former``.
        given: From the command line or a configuration; None if neither gives it.

    Raises:
        CheckpointError: the number is not given, and heads of this width do not divide the part's
            width.
    """
    if given is None and width % head_width:
        flag = f"--{part.lower().replace('-', '')}-heads"
        raise CheckpointError(
            f"A {part} of width {width} cannot have heads of width {head_width}; give their number "
            f"with {flag}."
        )
    return given or width // head_width
