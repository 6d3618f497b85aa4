"""Small checkpoints in the published layouts with random weights, and what the original computes with them.

``original_encoder``, ``original_chat`` and ``original_tokens`` share no code with the service: neither its modules
nor its tables, nor transformers' implementations.
"""
