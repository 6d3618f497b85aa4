"""Measurements of a running service. The service imports nothing from here.

Each command prints or writes what its question asks for (``docs/how-to/measure-speed.md``):

- ``figures``: how fast is the default model on this machine?
- ``bench``: how does it compare with vLLM's BLIP-2 and the original's way, with the same weights?
- ``compare``: did a commit make it faster or slower?
- ``gpu``: how fast is it on a GPU, at 7B and 13B sizes?
- ``capacity``: how many replicas does a traffic need?
- ``front_end``: what does everything but the models cost, by process?
- ``parts``: what do an encoding and the sampler cost alone?
- ``soak``: does it stay correct under load for long?
- ``token_level``: what do vLLM's own benchmarks say?
- ``locustfile``: interactive load.
"""
