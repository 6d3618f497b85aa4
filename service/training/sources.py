"""Data sets by where they are: WebDataset shards, a folder with a JSONL, and the cc_sbu_align layout.

Each yields an endless, shuffled stream of samples still encoded as bytes. What cannot be read is yielded
as a :class:`~service.training.samples.BadSample` that says where it is; only a data set without any usable
sample is an error.
"""

from pathlib import Path

from service.errors import DatasetError
from service.training.folders import AlignSource, JsonlSource
from service.training.samples import Source
from service.training.shards import ShardSource, expand_shards


def open_source(location: str) -> Source:
    """The data set at ``location``, told by its form.

    A ``.jsonl`` file, a folder with ``filter_cap.json`` or one ``.jsonl``, a ``.tar`` file, a folder of
    ``.tar`` files, or a pattern such as ``cc/{00000..01255}.tar`` or ``cc/*.tar``.

    Raises:
        DatasetError: nothing there, or nothing usable.
    """
    path = Path(location)
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".jsonl":
        return JsonlSource(path)
    return ShardSource(expand_shards(location))


def _open_folder(folder: Path) -> Source:
    if (folder / "filter_cap.json").is_file():
        return AlignSource(folder)
    lists = sorted(folder.glob("*.jsonl"))
    if len(lists) == 1:
        return JsonlSource(lists[0])
    if len(lists) > 1:
        raise DatasetError(f"{folder} holds several .jsonl files; name the one to read.")
    shards = sorted(folder.glob("*.tar"))
    if shards:
        return ShardSource(shards)
    raise DatasetError(f"{folder} holds neither filter_cap.json nor a .jsonl nor .tar files.")
