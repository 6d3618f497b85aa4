"""Measurements of a running service. The service imports nothing from here.

Each command answers one question (``docs/how-to/measure-speed.md``):

- ``figures``: how fast is the default model on this machine?
- ``bench``: how does it compare with vLLM's BLIP-2 and with the original code, with the same
  weights?
- ``compare``: did a commit make it faster or slower?
- ``gpu``: how fast is it on a GPU, at 7B and 13B sizes, and how fast is vLLM's BLIP-2 there?
- ``capacity``: how many replicas does a given traffic need?
- ``front_end``: what does everything but the models cost, by process?
- ``parts``: what do the encoder and the sampler cost by themselves?
- ``batches``: what does a running batch cost the other requests?
- ``soak``: does it stay correct under a long load?
- ``token_level``: what does vLLM's own benchmark measure?
- ``locustfile``: interactive load.
"""
