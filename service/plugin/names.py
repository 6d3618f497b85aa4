"""Names under which vLLM finds the plugin's parts. Importing this module loads nothing."""

ARCHITECTURE = "MiniGPT4ForCausalLM"
"""Architecture in the Hugging Face configuration that selects :mod:`service.plugin.model`."""

CONFIG_KEY = "minigpt4"
"""Attribute of the Hugging Face configuration with the model folder's path, its visual tokens and
its language model's class."""

CONNECTOR = "minigpt4"
"""Value of ``VLLM_MEDIA_CONNECTOR`` that selects :mod:`service.plugin.media_connector`."""

TOOL_PARSER = "minigpt4"
"""Value of ``--tool-call-parser`` that selects :mod:`service.plugin.tool_parser`."""

TOKENIZER_MODE = "minigpt4"
"""Value of ``--tokenizer-mode`` that selects :mod:`service.plugin.renderer`."""
