"""From an image's URL or bytes to pixels: checked addresses, fetching, decoding, resizing.

``sources`` reads a URL or bytes. For http(s), ``fetching`` checks the address, waits for a fair
slot, looks the host up and fetches. ``decoding`` makes pixels. Nothing here knows vLLM, HTTP
routes, the store of uploads, or what happens to the pixels.
"""
