"""Unmodified clients against the running default model; see docs/how-to/use-other-clients.md.

Clients that need other versions of shared packages run as scripts in environments of their own
(``scripts/``), and clients from npm likewise (``node/``): a script does what its client's
documentation shows, and prints what it got as one JSON object. The tests look at that object.
"""
