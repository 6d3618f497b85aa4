"""The API process's side of vLLM: flags, the client, admission, constraints.

``admission`` reserves a slot when a request arrives; ``client`` submits the prompt when it is
ready. ``api`` and ``serve`` import the client and the flags from here. Nothing here knows HTTP,
images or pixels: the request's key comes in :mod:`service.request_context`, its images as
embeddings.
"""
