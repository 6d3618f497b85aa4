"""Two-stage alignment: only the projection learns (Zhu et al. 2023, section 3).

The command line and ``demo`` import the trainer from here, and ``demo`` the training loop. The
released settings are data (:mod:`.presets`). Nothing here knows what the images show, or how a
model is served.
"""
