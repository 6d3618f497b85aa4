"""The experiments of the MiniGPT-4 paper on any folder of images, asked over HTTP.

The command line imports :mod:`service.experiments.command`. Nothing here loads a model or knows ``evaluation``.
"""
