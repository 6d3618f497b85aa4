"""Files from the Hugging Face hub, for sources that are given by hub id instead of by path."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from service.errors import CheckpointError
from service.model_folder.quantisation import OLD_FILES
from service.tensors.reading import INDEX_FILES

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CONFIGURATION = ("config.json", "generation_config.json", *OLD_FILES)
TOKENIZER = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "added_tokens.json")
SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


def find_local(source: str) -> Path | None:
    """Return the file or folder at the path ``source``, or None when ``source`` is a hub id.

    Raises:
        CheckpointError: it is neither.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path.resolve()
    if not _HUB_ID.fullmatch(source):
        raise CheckpointError(f"{source}: there is no such file or folder.")
    return None


def download(repository: str, patterns: Sequence[str]) -> Path:
    """Download the files that match ``patterns``, with a progress bar; return their folder.

    Files in the hub's cache on this disk are not downloaded again.

    Raises:
        CheckpointError: there is no network, no such repository, or no permission to read it.
    """
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except Exception as error:  # the client raises errors of several libraries
        raise _explain(repository, error) from error


def choose_weight_patterns(repository: str) -> tuple[str, ...]:
    """Choose the weights to download: safetensors, or ``.bin`` files if there are none.

    Many repositories hold both, and one is enough. Without a network, both match what is in the
    cache.
    """
    try:
        names = HfApi().list_repo_files(repository)
    except Exception:  # the client raises errors of several libraries
        return (*SAFETENSORS, *PICKLES)
    found = [name for name in names if name.endswith(".safetensors")]
    if found and not any(name.startswith("model") for name in found):
        return tuple(found)  # quantised models of 2023 name their files after themselves
    return SAFETENSORS if found else PICKLES


def read_commit(folder: Path) -> str | None:
    """Return the commit of a folder that :func:`download` returned."""
    return folder.name if folder.parent.name == "snapshots" else None


def download_shards(repository: str, prefixes: Sequence[str]) -> Path:
    """Download the configuration, and the shards with tensors of one of the name ``prefixes``.

    Raises:
        CheckpointError: as from :func:`download`.
    """
    for index_name in INDEX_FILES:
        try:
            index = hf_hub_download(repository, index_name)
        except Exception as error:
            if type(error).__name__ in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
                continue
            raise _explain(repository, error) from error
        weight_map: dict[str, str] = json.loads(Path(index).read_text())["weight_map"]
        shards = {shard for name, shard in weight_map.items() if name.startswith(tuple(prefixes))}
        return download(repository, [*CONFIGURATION, index_name, *sorted(shards)])
    return download(repository, [*CONFIGURATION, *choose_weight_patterns(repository)])


def _explain(repository: str, error: Exception) -> CheckpointError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return CheckpointError(
        f"{repository} is not a path on this disk, and as a hub id it could not be downloaded: {reason}"
    )
