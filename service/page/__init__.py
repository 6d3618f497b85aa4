"""The page to try the service: static files for a browser, served at ``/``.

It talks to the public endpoints only, as any client does; the service's Python side of it hands out
files and must not know images, prompts or the engine.
"""
