"""The ASGI layers, one in each file, and two helpers: ``read_ahead`` and ``waiting_page``.

:mod:`service.api.stack` lists the layers in order and says why each has its place. A layer knows
requests and responses; it must not know images, prompts or vLLM.
"""
