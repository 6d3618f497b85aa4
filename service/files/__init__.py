"""Images that a client uploads once and refers to by id: OpenAI's files routes with purpose ``vision``.

Knows the disk and the owner of a file; knows nothing of prompts, the encoder or the engine.
"""
