"""Published checkpoints become a model folder: read safely, rename by table, check, write whole or not at all.

Nothing here knows HTTP, images' content or a running engine.
"""
