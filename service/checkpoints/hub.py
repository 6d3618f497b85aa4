"""Files from the Hugging Face hub, for sources given by their id instead of a path."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from service.errors import CheckpointError
from service.tensors.reading import INDEX_FILES

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CONFIGURATION = ("config.json", "generation_config.json")
TOKENIZER = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "added_tokens.json")
SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


def local_path(source: str) -> Path | None:
    """The file or folder that ``source`` names, or None if it is a hub id.

    Raises:
        CheckpointError: it is neither.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path.resolve()
    if not _HUB_ID.fullmatch(source):
        raise CheckpointError(f"{source}: there is no such file or folder.")
    return None


def fetch(repository: str, patterns: Sequence[str]) -> Path:
    """Download the files that match ``patterns``, with a progress bar; returns their folder.

    Files that are in the hub's cache on this disk are not downloaded again.

    Raises:
        CheckpointError: there is no network, no such repository, or no right to read it.
    """
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except Exception as error:  # the client raises many kinds, of several libraries
        raise _unreachable(repository, error) from error


def weight_patterns(repository: str) -> tuple[str, ...]:
    """What to fetch of a repository for its weights: safetensors, or where it has none the ``.bin`` files.

    Many repositories hold both, of which one is enough. Without a network: whatever is in the cache.
    """
    try:
        names = HfApi().list_repo_files(repository)
    except Exception:  # the client raises many kinds, of several libraries
        return (*SAFETENSORS, *PICKLES)
    return SAFETENSORS if any(name.endswith(".safetensors") for name in names) else PICKLES


def revision(folder: Path) -> str | None:
    """The commit that a folder which :func:`fetch` returned belongs to."""
    return folder.name if folder.parent.name == "snapshots" else None


def fetch_parts(repository: str, prefixes: Sequence[str]) -> Path:
    """Like :func:`fetch`, for the configuration and those shards that hold wanted tensors.

    Args:
        prefixes: Beginnings of wanted tensors' names.
    """
    for index_name in INDEX_FILES:
        try:
            index = hf_hub_download(repository, index_name)
        except Exception as error:
            if type(error).__name__ in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
                continue
            raise _unreachable(repository, error) from error
        weight_map: dict[str, str] = json.loads(Path(index).read_text())["weight_map"]
        shards = {shard for name, shard in weight_map.items() if name.startswith(tuple(prefixes))}
        return fetch(repository, [*CONFIGURATION, index_name, *sorted(shards)])
    return fetch(repository, [*CONFIGURATION, *weight_patterns(repository)])


def _unreachable(repository: str, error: Exception) -> CheckpointError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return CheckpointError(
        f"{repository} is no path on this disk, and as a hub id it could not be fetched: {reason}"
    )
