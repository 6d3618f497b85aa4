"""The validation part of a run's data, and the check that the data fit the stage."""

from collections.abc import Sequence
from pathlib import Path

from service.errors import DatasetError
from service.training.image_lists import ImageListSource
from service.training.presets import Stage
from service.training.samples import Source
from service.training.sources import open_data_set


def check_texts(stage: Stage, sources: Sequence[Source]) -> None:
    """Refuse instructions in stage 1, which learns captions alone.

    Raises:
        DatasetError: a list has instructions or conversations.
    """
    for source in sources:
        if stage.name == "stage1" and isinstance(source, ImageListSource) and source.has_questions:
            raise DatasetError(
                f"{source.index} holds instructions or conversations, and stage 1 learns captions "
                "alone: give --preset stage2, or a list of captions."
            )


def hold_out(
    sources: Sequence[Source], share: float, location: str | None, images: Path | None, seed: int
) -> tuple[list[Source], list[ImageListSource]]:
    """Return the sources to train on, and the lists to validate on.

    Args:
        share: Share of the images of each list among ``sources`` that is held out.
        location: Other data to validate on, or None.
        images: Folder where the image paths of lists start, or None.

    Raises:
        DatasetError: shards cannot be split or validated on, because their samples have no list.
    """
    if location is not None:
        other = open_data_set(location, images)
        return list(sources), [_require_list(other, location)]
    if not share:
        return list(sources), []
    parts = [_require_list(source, source.name).split(share, seed) for source in sources]
    return [train for train, _ in parts], [held_out for _, held_out in parts]


def _require_list(source: Source, name: str) -> ImageListSource:
    if isinstance(source, ImageListSource):
        return source
    raise DatasetError(
        f"{name}: only a list (.jsonl, .json, cc_sbu_align) can be validated on; give one with "
        "--validation-data."
    )
