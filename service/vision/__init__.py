"""From pixels to projected embeddings: frozen encoder, projection, batching across requests.

Read in this order: ``encoder`` (the contract), ``image_queue`` (which images to encode next, and
the cache), ``encoding_thread`` (the only thread that calls the encoder), ``runtime`` (what requests
call; its threads decode the images that the cache lacks). ``choice`` makes the network: ``model``
for the published families, ``backbone`` for composed ones, each with ``projected_encoder``'s
projection. ``named_projections`` are further projections over the same encoder.

Import :mod:`service.vision.shared` for the process's one encoder, and :mod:`service.vision.choice`
to train it. Nothing here knows where an image came from, HTTP, prompts or vLLM.
"""
