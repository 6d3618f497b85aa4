"""Two-stage alignment (Zhu et al. 2023, section 3): the projection learns, and what a run adds to it.

A run reads in this order: ``command``, ``sources``, ``image_lists`` or ``shards``, ``records``,
``held_out``, ``batches`` (worker processes decode), ``trainer``, ``tokenization``, ``sequences``,
``model`` with ``trained_parts`` and ``lora``, ``loop`` (an optimiser step), ``run_state``
(checkpoints), ``finished_folder``. The released settings are data (:mod:`.presets`).

The command line imports ``command`` and ``export_command``; ``demo`` imports ``trainer`` and
``loop``. Nothing here knows what the images show, or how a model is served.
"""
