"""The model card that the default model's folder has."""

from pathlib import Path

_CARD = """\
---
license: apache-2.0
---
# The default model

This is a MiniGPT-4 in miniature. It is made by the paper's method: a frozen vision encoder, a
frozen language model, and one linear projection between them that is trained. It answers questions
about simple scenes: one to six objects on a plain background. The objects are shapes; one of them
may be a digit or a short word instead.

Licence: Apache-2.0. All weights come from synthetic data that this project generates from seeds. No
third-party weights, images or texts are in them. Weights: {total:.1f} MB in bfloat16 (vision
{vision:.1f} MB, language model {language_model:.1f} MB).

## How it was made

`python -m service build-demo --out FOLDER --work SCRATCH` rebuilds it:

1. Text side: a 4-layer Llama learns generated conversations in eight rounds. It never sees an
   image. Instead it reads sums of its own word embeddings: the shape, colour, size and place of
   the object in each cell. The sums have noise. In the last three rounds they also go through wrong
   linear maps. The model is too small to count or compare in one step, so it answers in small steps:
   first what is where, in reading order, then what follows.
2. Vision side: a 4-layer ViT and a 3-layer Q-Former learn to label rendered scenes in three rounds.
   The later two rounds have more texts to read. The heads are linear and are thrown away. The vision
   side never sees the language model.
3. Stage 1: only the projection learns, from images with short captions. A caption leaves out most of
   the scene.
4. Stage 2: only the projection learns, from images with detailed descriptions in the instruction
   format.

Steps, rates and sizes of data are in `service/demo` and `service/training/presets.py`.
Measured accuracy is in `docs/explanation/alignment.md`. The weights in the repository were made by
this command in two runs; `docs/how-to/rebuild-the-default-model.md` says how, and how long it took.

## What it knows

| | |
| --- | --- |
| shapes | circle, square, triangle, star, heart, cross, diamond, ring |
| colours | red, orange, yellow, green, blue, purple, pink, black |
| backgrounds | white, grey, black, beige |
| sizes | small, large |
| texts | the digits 0 to 9, ten short words |
| places | the nine cells of a 3 x 3 grid |
| relations | left, right, above, below |
| tasks | questions, counts, descriptions, short poems, JSON, comparing two images, small talk |

It understands English only.

## Limits

It knows nothing else. Photographs, other shapes, more than six objects, several objects in one
ninth of the picture, long texts and other languages give wrong answers, and the answers sound just
as sure. Use the model to try and to test the service, and for nothing that matters.
"""

ABOUT = (
    "This small model knows one to six shapes, digits or short words on a plain background. About "
    "photographs and other drawings it is mostly wrong."
)
"""Text about the model, shown on the page."""


def make_model_card(folder: Path) -> str:
    """Return the card in Markdown: licence, origin, size and limits of the weights."""
    sizes = {
        name: (folder / name / "model.safetensors").stat().st_size / 1e6
        for name in ("vision", "language_model")
    }
    return _CARD.format(total=sum(sizes.values()), **sizes)
