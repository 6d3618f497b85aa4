"""Published checkpoints become a model folder: read safely, rename by table, check, write whole or not at all.

The command line imports ``import_command`` and ``init_command``; ``serve`` imports ``random_model`` for the
model named ``tiny``. Nothing here knows how a folder is served or trained.
"""
