"""Writing the model folder of an import: complete, or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service import __version__
from service.checkpoints import hub
from service.checkpoints.import_plan import ImportPlan
from service.checkpoints.language_model.writing import place_language_model, write_language_model
from service.errors import CheckpointError
from service.model_folder.layout import ModelIndex, Provenance, write_index
from service.model_folder.vision_config import CONFIG_FILE, WEIGHTS_FILE
from service.prompt.tokenizer import write_tokenizer
from service.tensors.byte_size import format_bytes
from service.tensors.hashing import sha256
from service.tensors.writing import flush_to_disk, write_safetensors

Report = Callable[[str], None]


def write_import(plan: ImportPlan, report: Report) -> None:
    """Write the model folder of a plan.

    The folder is built in a hidden folder beside the target and renamed at the end, so a target
    that exists is complete. An import that is killed leaves the hidden folder behind, which can be
    deleted.

    Args:
        report: Called with a line before each step that takes long.

    Raises:
        CheckpointError: a file has changed or vanished since planning, or the disk is full.
    """
    target = plan.request.target
    try:
        with _make_hidden_folder(target.absolute()) as hidden:
            # A folder inside: only its owner may read the hidden one, whatever the umask.
            partial = hidden / target.name
            partial.mkdir()
            _write_parts(plan, partial, report)
            flush_to_disk(partial)
            if target.exists():
                target.rmdir()
            partial.rename(target)
    except OSError as error:
        raise CheckpointError(f"{target} could not be written: {error}") from error


@contextmanager
def _make_hidden_folder(target: Path) -> Iterator[Path]:
    """Make a folder on the target's disk, and delete it at the end.

    Its name is random: a process id would not be unique, because containers can share a disk.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden)


def _write_parts(plan: ImportPlan, folder: Path, report: Report) -> None:
    report("Writing the vision encoder")
    vision = folder / "vision"
    vision.mkdir()
    write_safetensors(vision / WEIGHTS_FILE, plan.encoder.tensors)
    (vision / CONFIG_FILE).write_text(plan.encoder.config.model_dump_json(indent=2) + "\n")
    write_tokenizer(plan.tokenizer, plan.family, folder / "tokenizer")
    target = folder / "language_model"
    if plan.writes_language_model:
        report("Writing the language model")
        language_model = write_language_model(plan.language_model, plan.updates, target)
    else:
        language_model = place_language_model(plan.language_model, plan.request.placement, target)
    index = ModelIndex(
        family=plan.family.name,
        image_size=plan.encoder.config.image_size,
        visual_tokens=plan.encoder.config.visual_tokens,
        language_model=language_model,
        provenance=Provenance(
            made_by=f"import {__version__}",
            sources=_hash_sources(plan, report),
            notes=plan.warnings,
        ),
    )
    write_index(folder, index)


def _hash_sources(plan: ImportPlan, report: Report) -> dict[str, dict[str, str]]:
    """Return the path and SHA-256 of every file that was read; for a hub id also its commit."""
    model = plan.language_model
    sources: dict[str, dict[str, str]] = {}
    if model.is_hub_id:
        commit = hub.read_commit(model.folder)
        sources["language_model"] = {"hub_id": model.source} | (
            {"revision": commit} if commit else {}
        )
    for role, file in dict.fromkeys(_list_files(plan)):
        report(f"Hashing {file.name} ({format_bytes(file.stat().st_size)})")
        sources[f"{role}/{file.name}"] = {"path": str(file), "sha256": sha256(file)}
    return sources


def _list_files(plan: ImportPlan) -> Iterator[tuple[str, Path]]:
    for source in plan.sources:
        yield from ((source.role, file) for file in source.checkpoint.files)
    model = plan.language_model
    weights = model.weights.files if model.weights else []
    yield from (("language_model", file) for file in [*model.config_files, *weights])
    yield from (("tokenizer", file) for file in plan.tokenizer_files)
