"""The experiments of the MiniGPT-4 paper on any images, asked over HTTP.

The command line imports :mod:`.command`. Each experiment is a file; :mod:`.systems` and
:mod:`.judge` are what they share. Nothing here loads a model or knows ``evaluation``.
"""
