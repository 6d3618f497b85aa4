"""Name tables: which tensor of a published file becomes which tensor of a model folder, as data."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor


@dataclass(frozen=True)
class NameTable:
    """The known tensors of one kind of file.

    In every name ``#`` stands for a number and ``*`` for one part between dots. In the names of
    ``ignored``, ``**`` stands for the rest of the name.

    Attributes:
        renamed: Pairs (name in the file, name in the model folder); the first match counts. The
            wildcards of the second name take the values of the first name's wildcards, in order.
        ignored: Pairs (name in the file, reason why the original does not use it).
        foreign: Like ``ignored``, for tensors that only a network other than MiniGPT-4's has.
    """

    renamed: Sequence[tuple[str, str]]
    ignored: Sequence[tuple[str, str]] = ()
    foreign: Sequence[tuple[str, str]] = ()

    def with_prefix(self, prefix: str) -> "NameTable":
        """Return this table for a file in which every name starts with ``prefix``."""
        return NameTable(
            *(
                [(prefix + name, other) for name, other in pairs]
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
        """Return the name in the file of a tensor of the model folder, for messages."""
        for name, target in self.renamed:
            if match := _compile(target).fullmatch(renamed):
                return _fill_wildcards(name, match.groups())
        return renamed


@dataclass
class RenamedTensors:
    """The tensors of one file, in four groups.

    Attributes:
        tensors: By name in the model folder.
        ignored: Names in the file, by the reason for ignoring them.
        unexpected: Names that are in no table.
        foreign: Names that show another network, by what they are.
    """

    tensors: dict[str, LazyTensor] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    foreign: dict[str, list[str]] = field(default_factory=dict)


def rename_tensors(tensors: Mapping[str, LazyTensor], table: NameTable) -> RenamedTensors:
    """Sort every tensor of a file into exactly one of the four groups."""
    renamed = [(_compile(name), target) for name, target in table.renamed]
    foreign = [(_compile(name), reason) for name, reason in table.foreign]
    ignored = [(_compile(name), reason) for name, reason in table.ignored]
    result = RenamedTensors()
    for name, tensor in tensors.items():
        if match := _find_first(foreign, name):
            result.foreign.setdefault(match[1], []).append(name)
        elif match := _find_first(renamed, name):
            result.tensors[_fill_wildcards(match[1], match[0])] = tensor
        elif match := _find_first(ignored, name):
            result.ignored.setdefault(match[1], []).append(name)
        else:
            result.unexpected.append(name)
    return result


def _find_first(
    patterns: Iterable[tuple[re.Pattern[str], str]], name: str
) -> tuple[tuple[str, ...], str] | None:
    for pattern, value in patterns:
        if match := pattern.fullmatch(name):
            return match.groups(), value
    return None


def _compile(name: str) -> re.Pattern[str]:
    wildcards = {r"\*\*": "(.+)", r"\*": r"([^.]+)", r"\#": r"(\d{1,4})"}
    expression = re.escape(name)
    for wildcard, group in wildcards.items():
        expression = expression.replace(wildcard, group)
    return re.compile(expression)


def _fill_wildcards(name: str, values: Sequence[str]) -> str:
    remaining = iter(values)
    return re.sub(r"\*+|#", lambda _: next(remaining), name)


def count_layers(names: Iterable[str], prefix: str) -> int:
    """Count the layers that are numbered after ``prefix`` (``a.layers.``).

    Raises:
        CheckpointError: the numbers do not run from 0 without gaps.
    """
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in names if name.startswith(prefix)}
    missing = sorted(set(range(max(numbers, default=0))) - numbers)
    if missing:
        raise CheckpointError(f"Layers {missing} of {prefix[:-1]} are missing from the files.")
    return len(numbers)
