"""The labels of a rendered scene."""

from service.demo.vision_side.labels import FIELDS, QUERIES, SceneLabels
from service.scenes.scene import draw_scene, rng_for


def test_labels_describe_the_rendered_scene() -> None:
    sample = SceneLabels("labels", 4)[2]
    rng = rng_for("labels", 2)
    scene = draw_scene(rng, crowded=rng.random() < 0.6)
    assert sample["pixels"].shape == (224, 224, 3)
    assert sample["fields"].shape == (QUERIES, len(FIELDS))
    filled = {item.cell for item in scene.objects}
    empty = {cell for cell in range(9) if sample["fields"][cell, 0] == FIELDS["kind"] - 1}
    assert filled | empty == set(range(9))
    assert not filled & empty
    assert sample["fields"][10, 5] == len(scene.objects)
    assert 0 < sample["covered"].mean() < 0.6
