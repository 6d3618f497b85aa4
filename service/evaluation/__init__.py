"""How true a running service's answers are, measured through its HTTP API.

The command line imports :mod:`service.evaluation.command`. The files read as an evaluation goes: questions,
client, judge, figures, report. Nothing here loads a model.
"""
