"""The families' conversation formats: Jinja templates and the tokenizer that goes with them.

Nothing here knows HTTP, images' content or the engine.
"""
