"""A reference for the answers, in plain transformers: no vLLM, no chat template, no batching.

It follows the behaviour of the authors' released code. The prompt is a string. The pieces between
images are tokenized separately, with ``<s>`` before the first only. Their embeddings and those of
the images are concatenated, and ``generate`` runs on the result.
"""

from dataclasses import dataclass

import torch
from PIL import Image
from transformers import AutoTokenizer, LlamaForCausalLM

from service.images.decoding import resize_to_pixels
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. "
    "You will be able to see the image once I provide it to you. Please answer my questions."
)


@dataclass(frozen=True)
class Turn:
    """A question with its images, and its answer (none for the last question)."""

    text: str
    images: tuple[Image.Image, ...] = ()
    answer: str | None = None


def vicuna_prompt(turns: list[Turn]) -> str:
    """Return the conversation in the original's format for Vicuna v0."""
    prompt = SYSTEM + "###"
    for turn in turns:
        images = "".join("<Img><ImageHere></Img> " for _ in turn.images)
        prompt += f"Human: {images}{turn.text}###Assistant: "
        if turn.answer is not None:
            prompt += f"{turn.answer.strip()}###"
    return prompt


class Reference:
    """The parts of a model folder, loaded separately in float32."""

    def __init__(self, folder: ModelFolder) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder.tokenizer)
        self.encoder = load_vision_encoder(folder.vision)
        self.llama = LlamaForCausalLM.from_pretrained(folder.language_model, dtype=torch.float32)

    @torch.inference_mode()
    def answer(self, turns: list[Turn], tokens: int) -> list[int]:
        """Return a greedy continuation: at most ``tokens`` token ids, cut at the end token."""
        embeddings = self.embed(turns)
        generated = self.llama.generate(  # type: ignore[misc]
            inputs_embeds=embeddings[None],
            attention_mask=torch.ones(1, len(embeddings)),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
        return generated[0].tolist()

    def embed(self, turns: list[Turn]) -> torch.Tensor:
        """Return the prompt's embeddings, ``[prompt_tokens, hidden]``."""
        images = [image for turn in turns for image in turn.images]
        segments = vicuna_prompt(turns).split("<ImageHere>")
        parts = []
        for index, segment in enumerate(segments):
            ids = self.tokenizer(segment, add_special_tokens=index == 0).input_ids
            parts.append(self.llama.get_input_embeddings()(torch.tensor(ids)))
            if index < len(images):
                parts.append(self._encode(images[index]))
        return torch.cat(parts)

    def _encode(self, image: Image.Image) -> torch.Tensor:
        return self.encoder(resize_to_pixels(image, self.encoder.config.image_size)[None])[0]
