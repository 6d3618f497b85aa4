"""The plan of an import: every input is opened and checked before anything is written."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from service.checkpoints.encoder.plan import EncoderPlan, plan_encoder
from service.checkpoints.encoder.source import Source
from service.checkpoints.import_request import ImportRequest
from service.checkpoints.import_sources import (
    find_tokenizer,
    open_encoder_sources,
    open_language_model_source,
    open_projection_source,
)
from service.checkpoints.language_model.folder import LanguageModel
from service.checkpoints.language_model.tokenizer import read_tokenizer
from service.checkpoints.language_model.writing import check_mergeable
from service.checkpoints.layouts.minigpt4 import is_first_stage
from service.checkpoints.lora import LoraUpdate
from service.checkpoints.lora_plan import plan_lora
from service.checkpoints.messages import list_names
from service.errors import CheckpointError
from service.families import FAMILIES, Family
from service.tensors.byte_size import format_bytes


@dataclass(frozen=True)
class ImportPlan:
    """A checked import: only loading, computing and writing are left.

    Attributes:
        sources: The files of the encoder: ViT, Q-Former (if any), projection.
        updates: LoRA updates of the language model, by the weight's name in it.
        tokenizer_files: The files that ``tokenizer`` was made from.
        warnings: For the user; also written into the folder.
    """

    request: ImportRequest
    family: Family
    sources: list[Source]
    encoder: EncoderPlan
    language_model: LanguageModel
    updates: Mapping[str, LoraUpdate]
    tokenizer: Tokenizer
    tokenizer_files: list[Path]
    warnings: list[str]

    @property
    def writes_language_model(self) -> bool:
        """Whether the language model is written as new weights, whatever the placement."""
        return bool(self.updates) or self.language_model.is_pickled

    @property
    def bytes_written(self) -> int:
        """Disk space for the weights in the folder."""
        encoder = sum(tensor.bytes for tensor in self.encoder.tensors.values())
        weights = self.language_model.weights
        if weights is None or not (self.writes_language_model or self.request.placement == "copy"):
            return encoder
        return encoder + sum(tensor.bytes for tensor in weights.tensors.values())


def plan_import(request: ImportRequest) -> ImportPlan:
    """Open and check every input; write nothing.

    Raises:
        CheckpointError: the import would fail, or would give a model that answers with nonsense.
    """
    family = FAMILIES[request.family]
    _check_target(request.target)
    vit, qformer = open_encoder_sources(request, family)
    projection = open_projection_source(request)
    updates = plan_lora(request, projection)
    encoder = plan_encoder(family, vit, qformer, projection, request.sizes)
    language_model = open_language_model_source(request, family, encoder.config.hidden_size)
    if updates:
        check_mergeable(language_model, updates)
    tokenizer, tokenizer_files, notes = read_tokenizer(
        find_tokenizer(request, language_model), language_model.vocabulary
    )
    sources = [source for source in (vit, qformer, projection) if source is not None]
    warnings = [*_warn_of_sources(sources), *language_model.warnings, *notes]
    warnings += _warn_of_first_stage(projection)
    plan = ImportPlan(
        request,
        family,
        sources,
        encoder,
        language_model,
        updates,
        tokenizer,
        tokenizer_files,
        warnings,
    )
    _check_disk_space(plan)
    return plan


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists and is not an empty folder; give a new one.")


def _check_disk_space(plan: ImportPlan) -> None:
    parent = next(path for path in plan.request.target.absolute().parents if path.is_dir())
    free = shutil.disk_usage(parent).free
    if plan.bytes_written > free:
        raise CheckpointError(
            f"The model folder takes {format_bytes(plan.bytes_written)}, and {parent} has "
            f"{format_bytes(free)} left."
        )


def _warn_of_sources(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        yield from source.warnings
    for source in sources:
        names = source.renamed.unexpected
        if names:
            yield (
                f"{source.path.name} holds {len(names)} tensors that neither the original nor this "
                f"importer knows; they are left out: {list_names(names)}"
            )


def _warn_of_first_stage(projection: Source) -> Iterator[str]:
    if is_first_stage(projection.path, projection.checkpoint.training):
        yield (
            "The projection is from training stage 1: expect incomplete and repeated sentences. The "
            "usual checkpoints are from stage 2."
        )
