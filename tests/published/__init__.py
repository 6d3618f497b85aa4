"""Small checkpoints in the published layouts, and what the original computes with them.

``original_encoder``, ``original_chat`` and ``original_tokens`` share no code with the service:
neither its modules nor its tables, nor transformers' implementations.
"""
