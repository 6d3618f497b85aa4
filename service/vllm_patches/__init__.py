"""All code that depends on internals of vLLM instead of a hook that vLLM offers.

Each file names the replaced function, the reason why no hook suffices, the test that fails when
vLLM changes, and the change to request upstream. ``plugin``, ``engine`` and ``api`` import from
here what a file offers. Nothing here knows images, models or what a request says.
"""
