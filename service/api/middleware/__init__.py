"""One ASGI layer a file.

:mod:`service.api.stack` lists them in order and says why each has its place.

Only the stack imports the layers. A layer knows requests and responses; it must not know images,
prompts or vLLM.
"""
