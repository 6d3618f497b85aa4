"""How the default model's weights are made: text side, vision side, and the two stages of alignment.

The command line imports :mod:`service.demo.command`. The text side never sees an image and the vision side
never sees the language model; only :mod:`service.training` brings them together. Nothing here knows HTTP.
"""
