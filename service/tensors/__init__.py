"""Tensors on disk and their dtypes: read and write safetensors and ``.pth`` files safely.

Import :mod:`service.tensors.reading` and :mod:`service.tensors.writing`. Reading a file never runs
code from it. This folder does not know which model the tensors belong to.
"""
