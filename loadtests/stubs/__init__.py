"""Stand-ins for engine and encoder that take time but no processor, for :mod:`loadtests.front_end`.

They sit behind the same interfaces as the real ones: vLLM's executor and our :class:`Encoder`. An
image's number, which both compute from its pixels, travels through the embeddings into the first
token of the answer, so that a mix-up of images is seen by the client.
"""
