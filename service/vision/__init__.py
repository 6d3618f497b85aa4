"""From pixels to projected embeddings: frozen encoder, projection, batching across requests.

Read in this order: ``encoder`` (the contract), ``image_queue`` (which images to encode next),
``encoding_thread`` (the only thread that calls the encoder), ``runtime`` (what requests call).

Import :mod:`service.vision.shared` for the process's one encoder, and :mod:`service.vision.model`
to train it. Nothing here knows where an image came from, HTTP, prompts or vLLM.
"""
