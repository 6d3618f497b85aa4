"""Measure everything that needs a GPU, within fifteen minutes and without a network.

``python -m loadtests.gpu --out results/gpu`` needs vLLM's CUDA wheel, a C compiler (Triton's
kernels need one) and this project. It measures our encoder alone, then our service and vLLM's own
BLIP-2 with the same flags. The language models have no weight files: vLLM makes dummy weights.

The most important phases come first (:class:`loadtests.gpu.plan.Phase`). A load that does not fit
into the rest of ``--seconds`` is skipped, and the report names it. Every figure goes to
``records.jsonl`` as soon as it is known. After a kill, ``--report-only`` writes the report of what
is there. A second run with ``--phases`` adds to the same records.

``--dry-run`` runs the same code with tiny weights on any machine, to test it. Its figures mean
nothing.
"""
