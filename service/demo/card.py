"""The model card that goes with the demo weights."""

from pathlib import Path
from textwrap import dedent


def model_card(folder: Path) -> str:
    """Markdown: licence, how the weights were made, their size and limits."""
    sizes = {
        name: (folder / name / "model.safetensors").stat().st_size
        for name in ("vision", "language_model")
    }
    total = sum(sizes.values()) / 1e6
    return dedent(
        f"""\
        ---
        license: apache-2.0
        ---
        # The demo model

        A MiniGPT-4 in miniature, made by the paper's method from nothing but seeds: a frozen vision
        encoder, a frozen language model, and one linear projection that was trained to join them. It
        answers questions about simple scenes: one to six shapes, one of which may be a digit or a short
        word instead, on a plain background.

        Licence: Apache-2.0. All weights come from synthetic data that this project generates; no
        third-party weights, images or texts went into them. Weights: {total:.1f} MB in bfloat16
        (vision {sizes["vision"] / 1e6:.1f} MB, language model {sizes["language_model"] / 1e6:.1f} MB).

        ## How it was made

        `python -m service build-demo --out FOLDER --work SCRATCH` rebuilds it:

        1. Text side: a 4-layer Llama learns generated conversations, in eight rounds. Where a
           conversation has an image it reads sums of its own word embeddings (shape, colour, size and
           place of each cell's object), with noise, in the last three rounds through wrong linear maps. It
           never sees an image. It answers in small steps (what is where, in reading order, then what
           follows from it): it is too small to count or compare in one go.
        2. Vision side: a 4-layer ViT and a 3-layer Q-Former learn to label rendered scenes, in three
           rounds, the later two with more to read. Their heads are linear and are thrown away. They
           never see the language model.
        3. Stage 1: only the projection learns, from images with short captions that leave most things
           out.
        4. Stage 2: only the projection learns, from images with detailed descriptions in the
           instruction format.

        Steps, rates and data sizes are in `service/demo` and `service/training/presets.py`; measured
        accuracy is in `docs/explanation/alignment.md`. The weights in the repository are what this command made:
        `docs/how-to/rebuild-the-default-model.md` says in which two runs, and how long they took.

        ## What it knows

        Shapes: circle, square, triangle, star, heart, cross, diamond, ring. Colours: red, orange,
        yellow, green, blue, purple, pink, black. Backgrounds: white, grey, black, beige. Sizes: small,
        large. The digits 0 to 9 and ten short words. Nine places, the relations left, right, above and
        below, counts, short poems, JSON, and a little small talk, in English.

        ## Limits

        It knows nothing else. Photographs, other shapes, seven objects and more, several of them in one
        ninth of the picture, long texts and other languages give wrong answers with the same
        confidence. It is there to try the service and to test it, not to be used for anything that
        matters.
        """
    )
