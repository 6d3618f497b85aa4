"""The edges of HTTP: readiness and draining, limits, errors in OpenAI's shape.

Nothing here knows images, prompts or the engine.
"""
