"""The response's JSON, which can hold tens of megabytes of numbers."""

import json

from service.embeddings.wire import numbers_json, to_base64
from service.vision.encoded_image import EncodedImage


def answer_body(model: str, images: list[EncodedImage], form: str) -> bytes:
    """Write an ``ImageEmbeddingsResponse``; runs on a thread.

    Args:
        model: The served model's name.
        form: ``base64`` or ``float``.
    """
    tokens = sum(len(image.embeddings) for image in images)
    usage = json.dumps({"prompt_tokens": tokens, "total_tokens": tokens})
    data = ", ".join(_item(index, image, form) for index, image in enumerate(images))
    start = f'{{"object": "list", "model": {json.dumps(model)}'
    return f'{start}, "data": [{data}], "usage": {usage}}}'.encode()


def _item(index: int, image: EncodedImage, form: str) -> str:
    rows = image.embeddings
    head = json.dumps(
        {
            "object": "image_embeddings",
            "index": index,
            "shape": list(rows.shape),
            "dtype": str(rows.dtype).removeprefix("torch."),
        }
    )
    value = f'"{to_base64(rows)}"' if form == "base64" else numbers_json(rows)
    return f'{head[:-1]}, "image_embeds": {value}}}'
