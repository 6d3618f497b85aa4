"""The default model's data sets on disk, in the same layouts as the published data sets."""

import io
import json
import random
import tarfile
from pathlib import Path

from service.scenes.conversations.descriptions import make_description, make_web_caption
from service.scenes.render import render
from service.scenes.scene import Scene, draw_scene, rng_for

EXAMPLES = {
    "circles-and-a-triangle": 161,
    "circles-and-hearts": 77,
    "eight-and-a-star": 74,
    "go-with-hearts": 67,
    "go-with-triangles": 142,
    "hi-and-rings": 51,
    "star-and-crosses": 221,
    "stars-and-rings": 30,
    "stars-in-the-dark": 37,
    "stop-among-shapes": 123,
    "sun-and-hearts": 145,
    "three-and-rings": 100,
}
"""Example pictures: file name and number of the scene.

They were chosen by eye for variety, without looking at a model's answers.
"""

SAMPLES = {"captions": 12_000, "descriptions": 12_000}
"""Number of pictures of stage 1's and stage 2's data set, by the name of the split."""

_SHARD = 2000
"""Samples of a shard."""


def write_captions(folder: Path, samples: int) -> None:
    """Write stage 1's data set: WebDataset shards of images with short, incomplete captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, samples, _SHARD):
        with tarfile.open(folder / f"{start // _SHARD:05}.tar", "w") as shard:
            for index in range(start, min(start + _SHARD, samples)):
                rng = rng_for("captions", index)
                scene = draw_scene(rng)
                _add_member(shard, f"{index:08}.jpg", _render_jpeg(scene, rng))
                caption = {"caption": make_web_caption(scene, rng)}
                _add_member(shard, f"{index:08}.json", json.dumps(caption).encode())


def write_descriptions(folder: Path, samples: int) -> None:
    """Write stage 2's data set: detailed descriptions in the layout of ``cc_sbu_align``."""
    (folder / "image").mkdir(parents=True, exist_ok=True)
    annotations = []
    for index in range(samples):
        rng = rng_for("descriptions", index)
        scene = draw_scene(rng)
        (folder / "image" / f"{index}.jpg").write_bytes(_render_jpeg(scene, rng))
        annotations.append({"image_id": str(index), "caption": make_description(scene, rng)})
    (folder / "filter_cap.json").write_text(json.dumps({"annotations": annotations}))


def write_examples(folder: Path) -> None:
    """Write PNG pictures that are in no training set, and ``scenes.json`` with their content."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {}
    for name, index in EXAMPLES.items():
        rng = rng_for("examples", index)
        scene = draw_scene(rng)
        render(scene, rng).save(folder / f"{name}.png", optimize=True)
        contents[f"{name}.png"] = {
            "background": scene.background,
            "objects": [
                {
                    "kind": item.kind,
                    "colour": item.colour,
                    "size": item.size,
                    "place": item.place,
                    "text": item.text,
                }
                for item in scene.objects
            ],
        }
    (folder / "scenes.json").write_text(json.dumps(contents, indent=2) + "\n")


def _render_jpeg(scene: Scene, rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    render(scene, rng).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _add_member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
