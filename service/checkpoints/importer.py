"""The plan of an import: everything is opened and checked before anything is written."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from service.checkpoints import blip2_hub, hub
from service.checkpoints.language_model import (
    LanguageModel,
    Placement,
    check_mergeable,
    open_language_model,
)
from service.checkpoints.lora import DEFAULT_ALPHA, LoraUpdate, is_lora, lora_updates
from service.checkpoints.projection import is_first_stage, trained_option
from service.checkpoints.tokenizers import FILES as TOKENIZER_FILES
from service.checkpoints.tokenizers import read_tokenizer
from service.checkpoints.vision import (
    SizeOptions,
    Source,
    VisionPlan,
    open_projection,
    open_qformer,
    open_vit,
    plan_vision,
)
from service.errors import CheckpointError
from service.families import FAMILIES, Family
from service.tensors.byte_size import format_bytes


@dataclass(frozen=True)
class ImportRequest:
    """What the user asked for.

    Attributes:
        target: The new model folder.
        vit, qformer, projection, language_model, tokenizer: Paths, or hub ids where the hub has such.
        placement: How the language model gets into the folder; ignored where LoRA is merged into it.
        lora_alpha: Scale of LoRA updates; None takes the checkpoint's word, else MiniGPT-v2's 16.
        merged_already: The language model already contains MiniGPT-v2's LoRA weights.
    """

    target: Path
    family: str
    projection: str
    language_model: str
    vit: str | None = None
    qformer: str | None = None
    tokenizer: str | None = None
    placement: Placement = "reference"
    sizes: SizeOptions = field(default_factory=SizeOptions)
    lora_alpha: float | None = None
    merged_already: bool = False


@dataclass(frozen=True)
class ImportPlan:
    """A checked import: only reading, computing and writing are left."""

    request: ImportRequest
    family: Family
    sources: list[Source]
    vision: VisionPlan
    language_model: LanguageModel
    updates: Mapping[str, LoraUpdate]
    tokenizer: Tokenizer
    tokenizer_files: list[Path]
    warnings: list[str]

    @property
    def writes_language_model(self) -> bool:
        """Whether the folder gets a language model of its own, whatever placement was asked for."""
        return bool(self.updates) or self.language_model.is_pickled

    @property
    def bytes_written(self) -> int:
        """Disk space that the weights in the folder will take."""
        vision = sum(tensor.bytes for tensor in self.vision.tensors.values())
        weights = self.language_model.weights
        if weights is None or not (self.writes_language_model or self.request.placement == "copy"):
            return vision
        return vision + sum(entry.bytes for entry in weights.tensors.values())


def plan_import(request: ImportRequest) -> ImportPlan:
    """Open and check every input; writes nothing.

    Raises:
        CheckpointError: the import would fail, or would give a model that answers with nonsense.
    """
    family = FAMILIES[request.family]
    _check_target(request.target)
    vit, qformer = _open_encoder(request, family)
    projection = open_projection(_existing(request.projection))
    _check_lora(projection, request)
    vision = plan_vision(family, vit, qformer, projection, request.sizes)
    language_model = _open_language_model(request, family, vision)
    updates = _updates(request, projection)
    if updates:
        check_mergeable(language_model, updates)
    tokenizer, files, notes = read_tokenizer(
        _tokenizer_folder(request, language_model), language_model.vocabulary
    )
    sources = [source for source in (vit, qformer, projection) if source is not None]
    warnings = [warning for source in sources for warning in source.warnings]
    warnings += [*_unexpected(sources), *language_model.warnings, *notes]
    if is_first_stage(projection.path, projection.checkpoint.training):
        warnings.append(
            "The projection is of training stage 1: expect incomplete and repeated sentences. The "
            "usual checkpoints are of stage 2."
        )
    plan = ImportPlan(
        request, family, sources, vision, language_model, updates, tokenizer, files, warnings
    )
    _check_space(plan)
    return plan


def _check_target(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists and is not an empty folder; give a new one.")


def _check_space(plan: ImportPlan) -> None:
    place = next(path for path in plan.request.target.absolute().parents if path.is_dir())
    free = shutil.disk_usage(place).free
    if plan.bytes_written > free:
        raise CheckpointError(
            f"The model folder takes {format_bytes(plan.bytes_written)}, and {place} has "
            f"{format_bytes(free)} left."
        )


def _existing(source: str) -> Path:
    path = hub.local_path(source)
    if path is None:
        raise CheckpointError(f"{source}: there is no such file.")
    return path


def _open_encoder(request: ImportRequest, family: Family) -> tuple[Source, Source | None]:
    if not family.uses_qformer:
        if request.qformer is not None:
            raise CheckpointError(f"{family.name} has no Q-Former: leave --qformer out.")
        if request.vit is None:
            raise CheckpointError("--vit is needed: eva_vit_g.pth, or a BLIP-2 folder or hub id.")
        return open_vit(_encoder_path(request.vit)), None
    if request.qformer is None:
        raise CheckpointError(
            f"{family.name} needs --qformer: blip2_pretrained_flant5xxl.pth, or a BLIP-2 folder or "
            "hub id."
        )
    qformer_path = _encoder_path(request.qformer)
    if request.vit is None and not qformer_path.is_dir():
        raise CheckpointError("--vit is needed: eva_vit_g.pth, or a BLIP-2 folder or hub id.")
    vit_path = qformer_path if request.vit is None else _encoder_path(request.vit)
    return open_vit(vit_path), open_qformer(qformer_path)


def _encoder_path(source: str) -> Path:
    return hub.local_path(source) or hub.fetch_parts(source, blip2_hub.NEEDED_PREFIXES)


def _check_lora(projection: Source, request: ImportRequest) -> None:
    names = projection.checkpoint.tensors
    trained_too = [
        name
        for name in projection.translation.unexpected
        if name.startswith("llama_model.") and not name.endswith((".SCB", ".weight_format"))
    ]
    if trained_too:
        raise CheckpointError(
            f"{projection.path} also holds weights of the language model itself, which this importer "
            f"does not merge: {', '.join(trained_too[:4])}, ... ({len(trained_too)} in all)."
        )
    has_lora = any(is_lora(name) for name in names)
    if has_lora and request.family != "minigpt-v2":
        raise CheckpointError(
            f"{projection.path} holds LoRA weights for the language model: it is a MiniGPT-v2 "
            "checkpoint. Import it with --family minigpt-v2."
        )
    if request.family == "minigpt-v2" and not has_lora and not request.merged_already:
        raise CheckpointError(
            f"{projection.path} holds no LoRA weights, so it is no MiniGPT-v2 checkpoint; one of "
            "MiniGPT-4 with Llama-2 is imported with --family minigpt4-llama2. If the language model "
            "you give already contains them, say so with --merged-already."
        )


def _updates(request: ImportRequest, projection: Source) -> Mapping[str, LoraUpdate]:
    if request.family != "minigpt-v2" or request.merged_already:
        return {}
    stated = trained_option(projection.checkpoint.training, "lora_alpha")
    trained = float(stated) if isinstance(stated, int | float) else DEFAULT_ALPHA
    alpha = trained if request.lora_alpha is None else request.lora_alpha
    return lora_updates(projection.checkpoint.tensors, alpha)


def _open_language_model(
    request: ImportRequest, family: Family, vision: VisionPlan
) -> LanguageModel:
    source = request.language_model
    path = hub.local_path(source)
    if path is not None and not path.is_dir():
        raise CheckpointError(f"{path} is a file; --llm takes a Hugging Face folder or a hub id.")
    is_hub_id = path is None
    folder = path or hub.fetch(source, (*hub.CONFIGURATION, *hub.TOKENIZER))
    model = open_language_model(source, folder, family.name, is_hub_id, with_weights=not is_hub_id)
    # Before gigabytes are fetched.
    if vision.config.hidden_size != model.hidden_size:
        raise CheckpointError(_width_mismatch(vision, model))
    if not is_hub_id:
        return model
    patterns = hub.weight_patterns(source)
    merges = family.name == "minigpt-v2" and not request.merged_already
    if not merges and request.placement == "reference" and patterns != hub.PICKLES:
        return model
    folder = hub.fetch(source, (*hub.CONFIGURATION, *hub.TOKENIZER, *patterns))
    return open_language_model(source, folder, family.name, is_hub_id, with_weights=True)


def _tokenizer_folder(request: ImportRequest, language_model: LanguageModel) -> Path:
    if request.tokenizer is None:
        return language_model.folder
    path = hub.local_path(request.tokenizer)
    return hub.fetch(request.tokenizer, TOKENIZER_FILES) if path is None else path


def _width_mismatch(vision: VisionPlan, language_model: LanguageModel) -> str:
    sizes = {4096: " (7B)", 5120: " (13B)"}
    projected, hidden = vision.config.hidden_size, language_model.hidden_size
    return (
        f"The projection writes embeddings of width {projected}{sizes.get(projected, '')}, and "
        f"{language_model.source} reads {hidden}{sizes.get(hidden, '')}: they are of different model "
        "sizes. Take the checkpoint and the language model of the same size."
    )


def _unexpected(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        names = source.translation.unexpected
        if names:
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            yield (
                f"{source.path.name} holds {len(names)} tensors that neither the original nor this "
                f"importer knows, left out: {shown}"
            )
