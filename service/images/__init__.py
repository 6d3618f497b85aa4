"""What a client sends as an image, made into pixels: fetched, checked, decoded, resized.

Nothing here knows prompts or the engine; the connector is the one place that vLLM calls.
"""

CONNECTOR_NAME = "minigpt4"
"""Value of vLLM's ``VLLM_MEDIA_CONNECTOR`` that selects :mod:`service.images.connector`."""
