"""Inspected facts agree with the loaded model."""

from transformers import LlamaForCausalLM

from service.model_folder.inspection import inspect_folder
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder


def test_counts_and_sizes_agree_with_the_loaded_parts(any_family: ModelFolder) -> None:
    inspection = inspect_folder(any_family.root)
    encoder = load_vision_encoder(any_family.vision)
    llama = LlamaForCausalLM.from_pretrained(any_family.language_model)
    parameters = {part.name: part.parameters for part in inspection.parts}
    expected = {
        "ViT": encoder.vit.num_parameters(),
        "ln_vision": sum(p.numel() for p in encoder.ln_vision.parameters()),
        "projection": sum(p.numel() for p in encoder.projection.parameters()),
        "language model": llama.num_parameters(),
    }
    if any_family.family.uses_qformer:
        expected["Q-Former"] = encoder.qformer.num_parameters() + encoder.query_tokens.numel()
    assert parameters == expected
    assert inspection.weight_bytes == 2 * sum(expected.values())
    cache = llama(llama.dummy_inputs["input_ids"] % 10, use_cache=True).past_key_values
    values = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    tokens = llama.dummy_inputs["input_ids"].numel()
    assert inspection.cache_bytes_per_token == 2 * values // tokens
