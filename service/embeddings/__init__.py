"""From an image's source to its projected embeddings, and the wire format of embeddings.

The plugin and the embeddings route import :func:`service.embeddings.encode.encode_source`. This
folder connects ``images``, ``files`` and ``vision``, which do not know each other. It must not know
vLLM or HTTP, and it never reads a pickle: clients send safetensors or plain numbers, in the model's
shape.
"""
