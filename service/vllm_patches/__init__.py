"""All code that depends on internals of vLLM instead of a hook that vLLM offers.

Each file names the replaced function, the reason why no hook suffices, the test that fails when
vLLM changes, and the change to request upstream. ``plugin``, ``engine`` and ``api`` import one
function from each. Nothing here knows HTTP, images or models.
"""
