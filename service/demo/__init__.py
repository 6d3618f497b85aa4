"""The default model's world: synthetic scenes, conversations about them, and how its weights are made.

The text side (``text_side``, with its ``tokens``, ``slots`` and ``sequences``) never sees an image and the
vision side (``vision_side``) never sees the language model; only :mod:`service.alignment` brings them
together. Nothing here knows HTTP.
"""
