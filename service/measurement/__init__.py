"""Measuring another service over HTTP: data set files, questions that survive a kill, intervals.

``evaluation``, ``experiments``, ``captioning`` and ``curation`` import it. Nothing here knows a
benchmark, a prompt or a score.
"""
