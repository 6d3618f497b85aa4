"""Write the example pictures that the page offers if the model folder has none of its own.

``python -m service.demo.page_examples`` writes them; the result is committed.
"""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from service.demo.page_drawings import draw_harbour, draw_kite, draw_street, draw_table
from service.scenes.datasets import EXAMPLES
from service.scenes.render import render
from service.scenes.scene import draw_scene, rng_for

FOLDER = Path(__file__).parents[1] / "api" / "routes" / "static" / "examples"

SCENES = (
    "circles-and-hearts",
    "eight-and-a-star",
    "go-with-triangles",
    "hi-and-rings",
    "stars-and-rings",
    "stars-in-the-dark",
    "stop-among-shapes",
    "three-and-rings",
)
"""Examples of the default model that the page offers beside the drawings."""

DRAWINGS: dict[str, Callable[[], Image.Image]] = {
    "harbour-at-sunset": draw_harbour,
    "breakfast-table": draw_table,
    "tram-in-a-street": draw_street,
    "dog-and-kite": draw_kite,
}
"""The drawings by their file names."""


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        draw().save(FOLDER / f"{name}.png", optimize=True)
    for name in SCENES:
        rng = rng_for("examples", EXAMPLES[name])
        render(draw_scene(rng), rng).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
