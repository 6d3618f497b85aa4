"""The usage of each API key, and its limits: figures in memory, shared by processes.

Knows nothing of HTTP, of vLLM and of images: other folders report amounts, and ask for admission by
    a key's name.
"""
