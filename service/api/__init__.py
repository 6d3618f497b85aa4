"""HTTP: the application, the ordered middleware around it, and our own routes beside vLLM's.

``serve`` imports the application, the stack and the lifecycle from here. Nothing here knows
processes, torch or how an image becomes embeddings: routes call ``engine``, ``embeddings`` and
``files`` instead.
"""
