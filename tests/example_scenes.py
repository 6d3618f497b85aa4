"""The scenes of the example pictures in the default model's folder."""

import json
from pathlib import Path

from service.scenes.scene import CELLS, Scene, SceneObject, cell_name


def read_examples(folder: Path) -> dict[str, Scene]:
    """Read the scenes that a model folder's examples show, by file name."""
    cells = {cell_name(cell): cell for cell in range(CELLS)}
    scenes = {}
    for name, content in json.loads((folder / "scenes.json").read_text()).items():
        objects = tuple(
            SceneObject(
                item["kind"], item["colour"], item["size"], cells[item["place"]], item["text"]
            )
            for item in content["objects"]
        )
        scenes[name] = Scene(content["background"], objects)
    return scenes
