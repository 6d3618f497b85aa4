"""A production inference service for MiniGPT-4, and the tools that make and measure its models.

``serve`` starts the service. A request with an image then passes ``api`` (the middleware, and
vLLM's route), ``plugin.renderer``, ``plugin.media_connector``, ``embeddings``, ``images`` or
``files``, ``vision``, ``plugin.processor`` and ``engine``. :mod:`service.request_context` travels
with it. ``vllm_patches`` has what vLLM offers no hook for; ``usage`` counts for each API key;
``batches`` runs requests at low priority.

``model_folder``, ``tensors``, ``prompt`` and ``observability`` serve both sides. ``checkpoints``,
``training``, ``curation``, ``captioning``, ``evaluation``, ``experiments``, ``measurement``,
``scenes`` and ``demo`` make, use and measure models; serving imports none of them.
"""

__version__ = "0.1.0"
