"""Every place where the service depends on the inside of vLLM instead of on a hook that vLLM offers.

Each file names what it replaces or reads, why no hook does, the test that fails when vLLM changes, and what to
ask for upstream. ``plugin``, ``engine`` and ``api`` import one function from each. Nothing here knows HTTP,
images or models.
"""
