"""What ``model_index.json`` says, and where the parts of a model folder are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from service.errors import ModelFolderError
from service.families import FAMILIES, IMAGE_TOKEN, Family, FamilyName

INDEX_FILE = "model_index.json"
FORMAT_VERSION: Final = 1

SamplingName = Literal["temperature", "top_p", "repetition_penalty"]


class Provenance(BaseModel):
    """Where the weights come from: written by whatever made the folder, read by people.

    Attributes:
        made_by: The command or module, with its version.
        sources: For each input its path or hub id, and its SHA-256 where it is a file.
        notes: Anything a user of the folder should know (a stage-1 projection, a v1.5 Vicuna).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_by: str
    sources: dict[str, dict[str, str]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class ModelIndex(BaseModel):
    """The content of ``model_index.json``.

    Attributes:
        family: Which member of the MiniGPT-4 family.
        image_size: Side of the encoder's input in pixels.
        visual_tokens: Embeddings that one image takes in the prompt.
        vision, tokenizer: Sub-folders.
        language_model: Sub-folder, another folder (absolute, or relative to the model folder), or
            a hub id. Without the part being below the model folder nothing is copied.
        sampling: Defaults of requests that name none, where the original demo's do not suit the model.
        without_qformer: The encoder groups patch features although its family has a Q-Former: a variant
            that was trained so.
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
    provenance: Provenance | None = None


@dataclass(frozen=True)
class ModelFolder:
    """A folder whose index has been read; its parts are not yet checked (see ``validation``)."""

    root: Path
    index: ModelIndex

    @classmethod
    def open(cls, root: Path) -> "ModelFolder":
        """Read the index of ``root``; raises :class:`ModelFolderError` with what to do."""
        root = root.resolve()
        file = root / INDEX_FILE
        if not root.is_dir():
            raise ModelFolderError(f"{root} is no folder. Give the path of a model folder.")
        try:
            return cls(root, ModelIndex.model_validate_json(file.read_text()))
        except FileNotFoundError:
            raise ModelFolderError(
                f"{root} holds no {INDEX_FILE}, so it is no model folder of this service. Make one "
                "from published checkpoints with `import`, or a random one with `init-model`."
            ) from None
        except (ValidationError, OSError, UnicodeDecodeError) as error:
            raise ModelFolderError(f"{file} cannot be used: {error}") from error

    @property
    def family(self) -> Family:
        """The family's fixed facts."""
        return FAMILIES[self.index.family]

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
        """Path of the language model where it is on disk, else the hub id as it stands."""
        local = self.root / self.index.language_model
        return str(local.resolve()) if local.is_dir() else self.index.language_model

    @property
    def language_model_is_local(self) -> bool:
        """Whether the language model is on this disk."""
        return Path(self.language_model).is_dir()


def write_index(root: Path, index: ModelIndex) -> None:
    """Write ``model_index.json``: always last, so that a folder that has one is whole."""
    temporary = root / f".{INDEX_FILE}.tmp"
    temporary.write_text(index.model_dump_json(indent=2, exclude_none=True) + "\n")
    temporary.replace(root / INDEX_FILE)
