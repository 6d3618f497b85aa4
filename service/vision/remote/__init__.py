"""The encoder in a process of its own, for several API processes: one socket, raw buffers, no pickle.

Read in this order: ``messages`` (what is sent), ``server`` (the encoder's process), ``client`` (an API process's
side, with the interface of the encoder on a thread). Nothing here starts processes.
"""
