"""MiniGPT-4 as a model that vLLM knows, and the flags and defaults it is started with.

Embeddings come in encoded: nothing here computes them, and nothing here knows HTTP.
"""
