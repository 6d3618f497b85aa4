"""HTTP: the application, the ordered middleware around it, and our own routes beside vLLM's.

A request passes ``stack`` (the layers in order, ``backend`` innermost) and the route that ``app``
has for it. On vLLM's routes, ``request_bodies`` first adapts the body. ``serve`` imports the
application, the stack and the lifecycle from here. Nothing here knows processes, torch or how an
image becomes embeddings: routes call ``engine``, ``embeddings`` and ``files`` instead.
"""
