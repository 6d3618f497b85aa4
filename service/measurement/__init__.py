"""Measuring another service over HTTP: data set files, questions that survive a kill, intervals.

``evaluation`` and ``experiments`` import it. Nothing here knows a benchmark, a prompt or a score.
"""
