"""How often a running service's answers are correct, measured through its HTTP API.

The command line imports :mod:`service.evaluation.command`. An evaluation on scenes reads in this
order: ``questions``, ``asking``, ``answer_check`` and ``description_check``, ``results``,
``report``. Public benchmarks are in ``benchmarks``. This folder loads no model.
"""
