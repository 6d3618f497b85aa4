"""From an image's URL or bytes to pixels: checked addresses, fetching, decoding, resizing.

Import :mod:`service.images.sources` for bytes and :mod:`service.images.decoding` for pixels.
Nothing here knows vLLM, HTTP routes, the store of uploads, or what happens to the pixels.
"""
