"""Making the default model's weights from seeds: a text side, a vision side, two stages.

The command line imports :mod:`service.demo.command`. The text side never sees an image, and the
vision side never sees the language model; only :mod:`service.training` brings them together.
Nothing here knows HTTP.
"""
