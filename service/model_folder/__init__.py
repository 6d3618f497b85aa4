"""A model on disk: one folder with ``model_index.json``, ``vision/``, ``tokenizer/``, ``language_model/``.

Reads, checks and creates such folders. Nothing here knows HTTP or a running engine.
"""
