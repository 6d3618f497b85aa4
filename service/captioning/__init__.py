"""Captions for a folder of images, asked of a running service or of one that the command starts.

The command line imports :mod:`service.captioning.command`. Nothing here loads a model: the
questions go over HTTP, by :mod:`service.measurement`.
"""
