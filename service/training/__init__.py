"""Two-stage alignment: everything is frozen, only the projection learns (Zhu et al. 2023, section 3).

The command line and ``demo`` import the trainer from here. The published recipe is data (:mod:`.presets`);
the trainer knows nothing about a single machine's world and nothing about serving.
"""
