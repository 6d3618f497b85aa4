"""From messages to tokens: the families' chat templates, and the tokenizer with ``<ImageHere>``.

Import :mod:`service.prompt.tokenizer`. This folder does not know HTTP, vLLM, or what an image
shows.
"""
