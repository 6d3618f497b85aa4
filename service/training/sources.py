"""Open a data set by its location.

A data set yields an endless, shuffled stream of samples that are still encoded as bytes. A sample
that cannot be read is yielded as a :class:`~service.training.samples.BadSample` that says where it
is. Only a data set without any usable sample is an error.
"""

from pathlib import Path

from service.errors import DatasetError
from service.training.image_lists import CcSbuAlignSource, JsonListSource, JsonlSource
from service.training.samples import Source
from service.training.shards import ShardSource, expand_shards


def open_data_set(location: str, image_root: Path | None = None) -> Source:
    """Open the data set at ``location``; its form decides which kind it is.

    A ``.jsonl`` or ``.json`` file, a folder with ``filter_cap.json`` or one ``.jsonl``, a ``.tar``
    file, a folder of ``.tar`` files, or a pattern such as ``cc/{00000..01255}.tar`` or
    ``cc/*.tar``.

    Args:
        image_root: Folder where the image paths of a ``.jsonl`` or ``.json`` start; the folder of
            that file if not given.

    Raises:
        DatasetError: there is no data set, or it has no usable sample.
    """
    path = Path(location)
    if path.is_dir():
        return _open_folder(path, image_root)
    if path.suffix == ".jsonl":
        return JsonlSource(path, image_root)
    if path.suffix == ".json":
        return JsonListSource(path, image_root)
    return ShardSource(expand_shards(location))


def _open_folder(folder: Path, image_root: Path | None) -> Source:
    if (folder / "filter_cap.json").is_file():
        return CcSbuAlignSource(folder)
    lists = sorted(folder.glob("*.jsonl"))
    if len(lists) == 1:
        return JsonlSource(lists[0], image_root)
    if len(lists) > 1:
        raise DatasetError(f"{folder} holds several .jsonl files; name the one to read.")
    shards = sorted(folder.glob("*.tar"))
    if shards:
        return ShardSource(shards)
    raise DatasetError(f"{folder} holds neither filter_cap.json nor .jsonl or .tar files.")
