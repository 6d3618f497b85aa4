"""The language model as vLLM runs it: a decoder whose image placeholders receive embeddings.

The vision tower is not here. The engine receives projected embeddings; this class passes them
through and delegates everything else to vLLM's class of the language model.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import (
    MultiModalEmbeddings,
    SupportsEagle,
    SupportsEagle3,
    SupportsLoRA,
    SupportsMultiModal,
    SupportsPP,
)
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.platforms import current_platform
from vllm.sequence import IntermediateTensors
from vllm.tokenizers import cached_tokenizer_from_config

from service.families import IMAGE_TOKEN
from service.plugin.names import CONFIG_KEY
from service.plugin.processor import (
    DummyImages,
    EncodedImageProcessor,
    ModelInfo,
    find_placeholder,
)
from service.vllm_patches import cpu_top_p


@MULTIMODAL_REGISTRY.register_processor(
    EncodedImageProcessor, info=ModelInfo, dummy_inputs=DummyImages
)
class MiniGPT4ForCausalLM(
    nn.Module, SupportsMultiModal, SupportsPP, SupportsLoRA, SupportsEagle, SupportsEagle3
):
    """A frozen Vicuna, Llama-2 or other decoder with embeddings scattered into its prompt.

    The methods keep the parameter names of vLLM's interfaces, because vLLM calls them by keyword.
    """

    # On disk the language model is a plain folder of its own kind.
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            "model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
            "transformer.": "language_model.transformer.",
        }
    )
    packed_modules_mapping: ClassVar = {  # type: ignore[misc]
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """The text that stands for an image in a rendered prompt."""
        return IMAGE_TOKEN if modality == "image" else None

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        if current_platform.is_cpu():
            cpu_top_p.install()
        self.config = vllm_config.model_config.hf_config
        # vLLM's proposers of draft tokens ask for it. They see an image's placeholders as ordinary
        # tokens.
        self.config.image_token_index = find_placeholder(
            cached_tokenizer_from_config(vllm_config.model_config)
        )
        with self._mark_language_model(vllm_config):
            # vLLM has no common type for decoders.
            language_model: Any = init_vllm_registered_model(
                vllm_config=vllm_config,
                hf_config=self.config,
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=[_find_architecture(self.config)],
            )
        self.language_model = language_model
        self.make_empty_intermediate_tensors = language_model.make_empty_intermediate_tensors

    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """``image_embeds`` ``[images, visual_tokens, hidden_size]``, one item an image."""
        embeddings = kwargs.get("image_embeds")
        return [] if embeddings is None else list(embeddings)  # type: ignore[call-overload]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor | IntermediateTensors:
        """Hidden states of the flattened batch ``[tokens, hidden_size]``."""
        if intermediate_tensors is not None:
            inputs_embeds = None
        hidden: Tensor | IntermediateTensors = self.language_model(
            input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
        )
        return hidden

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """``[tokens, vocabulary]``."""
        logits: Tensor | None = self.language_model.compute_logits(hidden_states)
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load a language model's plain checkpoint; return the names of the set parameters."""
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)


def _find_architecture(config: Any) -> str:
    """The language model's class; an older command line for plain vLLM does not name it."""
    architecture: str = getattr(config, CONFIG_KEY).get("architecture", "LlamaForCausalLM")
    return architecture
