"""The vision side: a small ViT and Q-Former learn scenes without seeing a language model.

Each query token stands for one of nine cells, the background, the number of objects, or the written
text. The heads are linear and shared by all query tokens, so **one linear map** can read what a
query token knows: that is what alignment later has to find. The heads are thrown away.
"""
