"""Batches of requests that run at low priority: records, validation, journal, runner. OpenAI's Batch API without HTTP.

``api`` imports :class:`.store.BatchStore` and :class:`.runner.BatchRunner`, and gives the runner a function that
sends one line. A batch reads in this order: ``record``, ``input_lines``, ``journal``, ``one_batch``, ``runner``.
Nothing here knows HTTP, vLLM or what a line's body says.
"""
