"""From messages to tokens: each family's chat template, and the Llama tokenizer with ``<ImageHere>``.

Import :mod:`service.prompt.tokenizer`. This folder does not know HTTP, vLLM, or what an image shows.
"""
