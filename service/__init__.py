"""Production inference service for MiniGPT-4.

The folders follow a request: ``app`` receives it, ``images`` fetches and decodes its pictures,
``vision`` turns pixels into projected embeddings, ``prompt`` lays out the conversation, and
``engine`` injects the embeddings into the Vicuna that vLLM hosts.
"""

__version__ = "0.1.0"
