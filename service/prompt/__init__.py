"""What a model folder says about prompts: its tokenizer with ``<ImageHere>``, its chat template.

Import and composition write both into the folder, and vLLM applies them while serving. Training
reads the instructions. This folder does not know HTTP, vLLM, or what an image shows.
"""
