"""The ``vllm.general_plugins`` entry point: vLLM calls it in every process it spawns."""

ARCHITECTURE = "MiniGPT4ForCausalLM"
MODEL_CLASS = f"service.engine.model:{ARCHITECTURE}"


def register() -> None:
    """Make the architecture known. Idempotent, and cheap: the class is imported when it is needed."""
    from vllm import ModelRegistry

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, MODEL_CLASS)
