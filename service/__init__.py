"""A production inference service for MiniGPT-4, and the tools that make and measure its models.

The folders follow a request: ``serve`` starts the processes, ``api`` speaks HTTP, ``engine`` and
``plugin`` adapt vLLM, ``embeddings``, ``images``, ``files``, ``vision`` and ``prompt`` prepare what
the engine reads. ``checkpoints``, ``training``, ``curation``, ``evaluation``, ``scenes`` and
``demo`` make and measure models; serving never imports the last five.
"""

__version__ = "0.1.0"
