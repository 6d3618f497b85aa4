"""How true a running service's answers about synthetic scenes are, measured through its HTTP API.

Reads as an evaluation goes: questions, client, judge, figures, report. Knows the service only by its API.
"""
