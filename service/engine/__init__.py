"""The API process's side of vLLM: flags, the client, admission, constraints.

``api`` and ``serve`` import the client and the flags from here. Nothing here knows HTTP, images or
pixels: a request's tenant comes as a value, its images as embeddings.
"""
