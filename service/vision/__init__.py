"""From pixels to projected embeddings: the frozen encoder, its projection, and batching across requests.

Import :mod:`service.vision.shared` for the process's one encoder, and :mod:`service.vision.model` to train it.
Nothing here knows where an image came from, HTTP, prompts or vLLM.
"""
