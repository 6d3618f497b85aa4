"""Public benchmarks, asked over HTTP: their files, prompts, clean-up and scores.

``evaluation.command`` imports :mod:`.command`; :mod:`.registry` lists the benchmarks. Each
benchmark is a file that reads the published format and scores as the published scorer does. Nothing
is downloaded.
"""
