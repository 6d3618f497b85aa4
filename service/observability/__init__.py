"""What operators see of the process: log lines, captured output, trace spans.

Any folder above may import it. Nothing here knows requests, models or vLLM; metrics stand beside the code
that they count.
"""
