"""Tensors on disk and their number formats: safetensors and ``.pth`` files, read and written safely.

Import :mod:`service.tensors.reading` and :mod:`service.tensors.writing`. Reading never runs code that a file
contains. Nothing here knows which model the tensors belong to.
"""
