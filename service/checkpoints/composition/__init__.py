"""The parts of a composed model: a vision encoder, a language model, its chat format.

Import :mod:`service.checkpoints.composition.writing`. This folder does not train anything: the
projection that it writes is random.
"""
