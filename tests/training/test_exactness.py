"""A training step has the original's loss and gradient, in both stages and all families."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image
from transformers import LlamaConfig

from service.model_folder.layout import ModelFolder
from service.prompt.instructions import STAGE2_INSTRUCTIONS
from service.training.batches import decode_images, stack_pixels
from service.training.model import AlignmentModel
from service.training.presets import PRESETS
from service.training.samples import RawSample
from service.training.tokenization import tokenize_sample
from tests.published.files import FAMILIES, PublishedFiles
from tests.published.images import make_noise, save_image
from tests.published.original_training import Example, compute_loss

TEXTS = ("a red circle on a table", "two cats and a dog, seen from above")


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_the_originals(
    family: str,
    stage: str,
    published: Callable[[str], PublishedFiles],
    imported: Callable[[str], Path],
) -> None:
    images = [save_image(Image.fromarray(make_noise(60, 80 + n, 3))) for n in range(2)]
    files = published(family)
    model = AlignmentModel.load(ModelFolder.open(imported(family)))
    samples = [
        RawSample.from_caption(image, text, "") for image, text in zip(images, TEXTS, strict=True)
    ]
    pixels = [
        p for sample in samples for p in decode_images(sample, model.encoder.config.image_size)
    ]
    stacked = torch.from_numpy(stack_pixels(pixels, model.encoder.config.image_size))
    rng = random.Random(0)
    tokenized = [
        tokenize_sample(model.tokenizer, model.folder.family, PRESETS[stage], sample.turns, rng)
        for sample in samples
    ]
    loss = model.loss(stacked, tokenized)
    loss.backward()

    rng = random.Random(0)
    examples = [
        Example(image, text, rng.choice(STAGE2_INSTRUCTIONS) if stage == "stage2" else None)
        for image, text in zip(images, TEXTS, strict=True)
    ]
    # MiniGPT-v2's LoRA is merged into the imported language model.
    llama = {name: tensor.float() for name, tensor in model.language_model.state_dict().items()}
    config = cast(LlamaConfig, model.language_model.config)
    expected, gradients = compute_loss(files, llama, config, examples)
    torch.testing.assert_close(loss.detach(), expected, rtol=0, atol=1e-5)
    assert model.trained.keys() == gradients.keys()
    for name, parameter in model.trained.items():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 1e-3
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-5)
