"""From messages to tokens: each family's chat template, and the Llama tokenizer with ``<ImageHere>``.

Import :mod:`service.prompt.tokenizer`. Nothing here knows HTTP, the content of images or vLLM.
"""
