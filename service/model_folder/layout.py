"""``model_index.json``, and the paths of a model folder's parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from service.errors import ModelFolderError
from service.families import COMPOSED, FAMILIES, IMAGE_TOKEN, Family, FamilyName, TurnFormat

INDEX_FILE = "model_index.json"
FORMAT_VERSION: Final = 1

SamplingName = Literal["temperature", "top_p", "repetition_penalty"]


class Provenance(BaseModel):
    """Where the weights come from: written by the command that made the folder, for people to read.

    Attributes:
        made_by: The command or module, with its version.
        sources: For each input its path or hub id; for a file also its SHA-256.
        notes: Warnings for users of the folder (a stage-1 projection, a v1.5 Vicuna).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_by: str
    sources: dict[str, dict[str, str]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class ModelIndex(BaseModel):
    """The content of ``model_index.json``.

    Attributes:
        family: Key in :data:`service.families.FAMILIES`, or ``composed``.
        image_size: Side of the encoder's input in pixels.
        visual_tokens: Embeddings that one image takes in the prompt.
        vision, tokenizer: Names of sub-folders.
        language_model: Name of a sub-folder, path of another folder (absolute, or relative to the
            model folder), or hub id. A folder elsewhere is used where it is, without a copy.
        sampling: Sampling parameters for requests that give none, where they differ from those of
            the original's demo.
        without_qformer: The encoder groups patch features although its family has a Q-Former. Such
            variants can be trained.
        architecture: The language model's class in vLLM.
        turn: Format of the training samples of a composed model.
        stop: Strings that end the answers of a composed model, in addition to its end-of-sequence
            token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    family: FamilyName
    image_size: PositiveInt
    visual_tokens: PositiveInt
    image_token: Literal["<ImageHere>"] = IMAGE_TOKEN
    vision: str = "vision"
    tokenizer: str = "tokenizer"
    language_model: str = "language_model"
    sampling: dict[SamplingName, float] = Field(default_factory=dict)
    without_qformer: bool = False
    architecture: str = "LlamaForCausalLM"
    turn: TurnFormat | None = None
    stop: tuple[str, ...] = ()
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _check_family(self) -> "ModelIndex":
        if (self.family == COMPOSED) != (self.turn is not None):
            raise ValueError("`turn` belongs to composed models, and each of them needs it")
        return self


@dataclass(frozen=True)
class ModelFolder:
    """A folder whose index has been read; ``validation`` checks its parts."""

    root: Path
    index: ModelIndex

    @classmethod
    def open(cls, root: Path) -> "ModelFolder":
        """Read the index of ``root``; raises :class:`ModelFolderError`, which says what to do."""
        root = root.resolve()
        file = root / INDEX_FILE
        if not root.is_dir():
            raise ModelFolderError(f"{root} is not a folder. Give the path of a model folder.")
        try:
            return cls(root, ModelIndex.model_validate_json(file.read_text()))
        except FileNotFoundError:
            raise ModelFolderError(
                f"{root} holds no {INDEX_FILE}, so it is not a model folder. Make one from published "
                "checkpoints with `import`, or with random weights with `init-model`."
            ) from None
        except (ValidationError, OSError, UnicodeDecodeError) as error:
            raise ModelFolderError(f"{file} cannot be used: {error}") from error

    @property
    def family(self) -> Family:
        """The family's constants; for a composed model those in its index."""
        index = self.index
        if index.turn is None:
            return FAMILIES[index.family]
        return Family(
            name=index.family,
            image_size=index.image_size,
            uses_qformer=False,
            chat_template="",
            turn=index.turn,
            stop=index.stop,
        )

    @property
    def vision(self) -> Path:
        """Folder of the vision encoder."""
        return self.root / self.index.vision

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer with ``<ImageHere>`` and the chat template."""
        return self.root / self.index.tokenizer

    @property
    def language_model(self) -> str:
        """Path of the language model if it is on this disk, otherwise its hub id."""
        local = self.root / self.index.language_model
        return str(local.resolve()) if local.is_dir() else self.index.language_model

    @property
    def language_model_is_local(self) -> bool:
        """Whether the language model is on this disk."""
        return Path(self.language_model).is_dir()


def _without_defaults(index: ModelIndex) -> set[str]:
    """Return the fields that only composed models have."""
    return set() if index.family == COMPOSED else {"architecture", "turn", "stop"}


def write_index(root: Path, index: ModelIndex) -> None:
    """Write ``model_index.json``, always as the last file: a folder that has one is complete."""
    temporary = root / f".{INDEX_FILE}.tmp"
    temporary.write_text(
        index.model_dump_json(indent=2, exclude_none=True, exclude=_without_defaults(index)) + "\n"
    )
    temporary.replace(root / INDEX_FILE)
