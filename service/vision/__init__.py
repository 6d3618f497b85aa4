"""Pixels in, projected embeddings out: the frozen encoder, its one projection, and its batching.

Nothing here knows HTTP, prompts or vLLM.
"""
