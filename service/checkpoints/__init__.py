"""From published checkpoints to a model folder, which is written complete or not at all.

The command line imports ``import_command`` and ``init_model_command``; ``serve`` imports
``random_model`` for the model named ``tiny``. This folder does not know how a model folder is
served or trained. It reads in this order: ``import_request``, ``import_plan`` (with ``layouts``,
``encoder`` and ``language_model``), ``import_summary``, ``import_writer``.
"""
