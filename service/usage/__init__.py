"""The usage of each API key, and its limits: figures in memory, shared by processes.

Other folders report amounts, and ask for admission by a key's name. This folder does not know HTTP,
vLLM or images.
"""
