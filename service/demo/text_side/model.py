"""The text side's model: a small Llama that reads word sums in the places of images."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from service.demo.text_side.codec import Codec
from service.demo.text_side.fact_words import list_axes, list_fact_tokens, list_plurals
from service.demo.text_side.lookup_start import initialise_for_lookup
from service.demo.text_side.slots import MARKER
from service.training.sequences import IGNORED

SLANT = 0.2
"""Most of the slant, as a share of a word sum's length; see :class:`TextModel`."""

_TARGET_STEP = 256
_FACT_WEIGHT = 4.0
_NOISE = 0.3


def make_llama_config(vocabulary: int) -> LlamaConfig:
    """Return a Llama of about 2 million parameters.

    Its heads have 64 values, because every attention kernel of vLLM supports that.
    """
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        attention_bias=True,
        # Slow rotation, so that words compare alike near and far.
        rope_parameters={"rope_type": "default", "rope_theta": 1e10},
    )


class TextModel(nn.Module):
    """The language model, with word sums in the places of images.

    The sums are made as inexact as the embeddings of a trained projection.

    Attributes:
        noise: Generator of all inexactness; its state is saved with the weights.
        slant: Most of an offset that all slots of a sequence have in common, as a share of a sum's
            length.
        distortion: Most of a wrong linear map's share in the sums of a sequence; 0 leaves it out.
    """

    weights: Tensor

    def __init__(self, codec: Codec, seed: int = 0) -> None:
        super().__init__()
        vocabulary = codec.tokenizer.get_vocab_size()
        self.llama = LlamaForCausalLM(make_llama_config(vocabulary))
        initialise_for_lookup(self.llama, list_axes(codec), list_plurals(codec), MARKER)
        self.width = self.llama.config.hidden_size
        self.noise = torch.Generator().manual_seed(seed)
        self.slant, self.distortion = SLANT, 0.0
        weights = torch.ones(vocabulary)
        weights[list_fact_tokens(codec)] = _FACT_WEIGHT
        self.register_buffer("weights", weights, persistent=False)

    def get_extra_state(self) -> Tensor:
        """Return the state of the noise, so that a resumed run continues it."""
        return self.noise.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Continue the noise where :meth:`get_extra_state` left it."""
        self.noise.set_state(state)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Embed tokens, and put inexact word sums in the slots: ``[sequences, length, 192]``."""
        table = self.llama.model.embed_tokens
        embedded = table(batch["ids"])
        if not len(batch["places"]):
            return embedded
        sums = (table(batch["words"]) * batch["weights"][..., None]).sum(1)
        level = _NOISE * torch.rand(len(sums), 1, generator=self.noise)
        noise = torch.randn(sums.shape, generator=self.noise)
        scale = sums.detach().pow(2).mean().sqrt()
        sums = sums + level * scale * noise + scale * self._draw_slant(batch)
        if self.distortion:
            sums = sums + self._distort(sums, batch)
        flat = embedded.flatten(0, 1).index_copy(0, batch["places"], sums)
        return flat.view_as(embedded)

    def _draw_slant(self, batch: dict[str, Tensor]) -> Tensor:
        """Draw an offset for each sequence: a trained projection has such a constant error."""
        sequences, length = batch["ids"].shape
        level = self.slant * torch.rand(sequences, 1, generator=self.noise)
        slant = level * torch.randn(sequences, self.width, generator=self.noise)
        return slant[batch["places"] // length]

    def _distort(self, sums: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return what a wrong linear map adds to the sums; it is another map for each sequence.

        A projection that is trained on captions is as far from the word sums as these are long.
        """
        sequences, length = batch["ids"].shape
        level = self.distortion * torch.rand(sequences, 1, 1, generator=self.noise)
        wrong = torch.randn(sequences, self.width, self.width, generator=self.noise)
        wrong = level / self.width**0.5 * wrong
        return (sums[:, None] @ wrong[batch["places"] // length])[:, 0]

    def loss(self, batch: list[dict[str, Tensor]]) -> tuple[Tensor, dict[str, float]]:
        """Compute the next-token loss on the answers, and the shares of right tokens.

        Args:
            batch: Parts with sequences of about one length.
        """
        answers = [self._compute_answers(part) for part in batch]
        states, wanted = (torch.cat(parts) for parts in zip(*answers, strict=True))
        padding = -len(wanted) % _TARGET_STEP
        logits = self.llama.lm_head(functional.pad(states, (0, 0, 0, padding)))
        logits = logits[: len(wanted)].float()
        loss = functional.cross_entropy(logits, wanted, weight=self.weights)
        right = (logits.argmax(-1) == wanted).float()
        facts = self.weights[wanted] > 1
        return loss, {"tokens right": float(right.mean()), "facts": float(right[facts].mean())}

    def _compute_answers(self, part: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the last states of the answers, ``[tokens, 192]``, and the ids to predict."""
        hidden = self.llama.model(inputs_embeds=self.embed(part), use_cache=False)
        labels = part["labels"][:, 1:].flatten()
        places = (labels != IGNORED).nonzero().flatten()
        return hidden.last_hidden_state[:, :-1].flatten(0, 1)[places], labels[places]
