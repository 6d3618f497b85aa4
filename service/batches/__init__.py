"""OpenAI's Batch API without HTTP: records, validation, journal, and a runner at low priority.

``api`` imports :class:`.store.BatchStore` and :class:`.runner.BatchRunner`, and gives the runner a
function that sends one line. A batch reads in this order: ``record``, ``input_lines``, ``journal``,
``one_batch``, ``runner``. Nothing here knows HTTP, vLLM or the content of a line's body.
"""
