"""Name tables: how a checkpoint's tensors are called in a model folder, as data."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor


@dataclass(frozen=True)
class NameTable:
    """What the tensors of one kind of file are for.

    In every pattern ``#`` stands for a number, ``*`` for one dotted part.

    Attributes:
        renamed: Pairs (name in the file, name in the model folder); the first match counts. Signs
            of the second take what the first's matched, in order.
        ignored: Pairs (name in the file, why the original does not use it). ``**`` stands for the rest.
        foreign: Like ``ignored``, for parts that make it another network than MiniGPT-4's.
    """

    renamed: Sequence[tuple[str, str]]
    ignored: Sequence[tuple[str, str]] = ()
    foreign: Sequence[tuple[str, str]] = ()

    def under(self, prefix: str) -> "NameTable":
        """The same table for a file in which every name starts with ``prefix``."""
        return NameTable(
            *(
                [(prefix + pattern, other) for pattern, other in pairs]
                for pairs in (self.renamed, self.ignored, self.foreign)
            )
        )

    def __add__(self, other: "NameTable") -> "NameTable":
        return NameTable(
            [*self.renamed, *other.renamed],
            [*self.ignored, *other.ignored],
            [*self.foreign, *other.foreign],
        )

    def original_name(self, renamed: str) -> str:
        """The file's name of a tensor whose name in the model folder is given, for messages."""
        for name, target in self.renamed:
            if match := _pattern(target).fullmatch(renamed):
                return _fill(name, match.groups())
        return renamed


@dataclass
class Translation:
    """A file's tensors under their new names, and those that have none.

    Attributes:
        tensors: By name in the model folder.
        ignored: For each reason, the names in the file.
        unexpected: Names that no table knows.
        foreign: For each reason, names that show another network.
    """

    tensors: dict[str, LazyTensor] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    foreign: dict[str, list[str]] = field(default_factory=dict)


def translate(entries: Mapping[str, LazyTensor], table: NameTable) -> Translation:
    """Rename every tensor of a file; each one ends in exactly one of the four groups."""
    renamed = [(_pattern(name), target) for name, target in table.renamed]
    foreign = [(_pattern(name), why) for name, why in table.foreign]
    ignored = [(_pattern(name), why) for name, why in table.ignored]
    result = Translation()
    for name, entry in entries.items():
        if (found := _first(foreign, name)) is not None:
            result.foreign.setdefault(found[1], []).append(name)
        elif (found := _first(renamed, name)) is not None:
            result.tensors[_fill(found[1], found[0])] = entry
        elif (found := _first(ignored, name)) is not None:
            result.ignored.setdefault(found[1], []).append(name)
        else:
            result.unexpected.append(name)
    return result


def _first(
    patterns: Iterable[tuple[re.Pattern[str], str]], name: str
) -> tuple[tuple[str, ...], str] | None:
    for pattern, value in patterns:
        if match := pattern.fullmatch(name):
            return match.groups(), value
    return None


def _pattern(name: str) -> re.Pattern[str]:
    signs = {r"\*\*": "(.+)", r"\*": r"([^.]+)", r"\#": r"(\d{1,4})"}
    expression = re.escape(name)
    for sign, group in signs.items():
        expression = expression.replace(sign, group)
    return re.compile(expression)


def _fill(target: str, parts: Sequence[str]) -> str:
    remaining = iter(parts)
    return re.sub(r"\*+|#", lambda _: next(remaining), target)


def count_layers(tensors: Iterable[str], prefix: str) -> int:
    """How many layers are numbered after ``prefix`` (``a.layers.``), from 0 and without gaps.

    Raises:
        CheckpointError: a layer is missing altogether.
    """
    numbers = {
        int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix)
    }
    missing = sorted(set(range(max(numbers, default=0))) - numbers)
    if missing:
        raise CheckpointError(f"Layers {missing} of {prefix[:-1]} are missing from the files.")
    return len(numbers)
