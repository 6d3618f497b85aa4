"""Writing a planned import: a whole model folder, or none."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service import __version__
from service.checkpoints import hub
from service.checkpoints.importer import ImportPlan
from service.checkpoints.language_model import place, write_anew
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

    Everything is built in a hidden folder beside the target and renamed at the end, so that the
    target is whole whenever it is there. A killed import leaves the hidden folder, which can go.

    Args:
        report: Gets a line before each step that takes long.

    Raises:
        CheckpointError: a file changed or vanished meanwhile, or the disk is full.
    """
    target = plan.request.target
    try:
        with _hidden_beside(target.absolute()) as hidden:
            # Inside, as the hidden folder itself is its owner's alone.
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
def _hidden_beside(target: Path) -> Iterator[Path]:
    """A new folder on the target's disk, gone at the end; process ids tell no two containers apart."""
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
    write_safetensors(vision / WEIGHTS_FILE, plan.vision.tensors)
    (vision / CONFIG_FILE).write_text(plan.vision.config.model_dump_json(indent=2) + "\n")
    write_tokenizer(plan.tokenizer, plan.family, folder / "tokenizer")
    own = folder / "language_model"
    if plan.writes_language_model:
        report("Writing the language model")
        language_model = write_anew(plan.language_model, plan.updates, own)
    else:
        language_model = place(plan.language_model, plan.request.placement, own)
    index = ModelIndex(
        family=plan.family.name,
        image_size=plan.vision.config.image_size,
        visual_tokens=plan.vision.config.visual_tokens,
        language_model=language_model,
        provenance=Provenance(
            made_by=f"import {__version__}", sources=_hashes(plan, report), notes=plan.warnings
        ),
    )
    write_index(folder, index)


def _hashes(plan: ImportPlan, report: Report) -> dict[str, dict[str, str]]:
    """SHA-256 of every file that was read, by role and name; of a hub id also its commit."""
    model = plan.language_model
    sources: dict[str, dict[str, str]] = {}
    if model.is_hub_id:
        commit = hub.revision(model.folder)
        sources["language_model"] = {"hub_id": model.source} | (
            {"revision": commit} if commit else {}
        )
    for role, file in dict.fromkeys(_inputs(plan)):
        report(f"Hashing {file.name} ({format_bytes(file.stat().st_size)})")
        sources[f"{role}/{file.name}"] = {"path": str(file), "sha256": sha256(file)}
    return sources


def _inputs(plan: ImportPlan) -> Iterator[tuple[str, Path]]:
    for source in plan.sources:
        yield from ((source.role, file) for file in source.checkpoint.files)
    model = plan.language_model
    weights = model.weights.files if model.weights else []
    yield from (("language_model", file) for file in [*model.config_files, *weights])
    yield from (("tokenizer", file) for file in plan.tokenizer_files)
