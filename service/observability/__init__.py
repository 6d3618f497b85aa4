"""Log lines, captured output and trace spans of a process.

Any folder of a higher layer may import it. Nothing here knows requests, models or vLLM. Metrics are
defined beside the code that they measure.
"""
