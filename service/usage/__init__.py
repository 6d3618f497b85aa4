"""What each API key has used, and whether it may use more: figures in memory that several processes share.

Knows nothing of HTTP, of vLLM and of images: other folders report amounts, and ask for admission by a key's name.
"""
