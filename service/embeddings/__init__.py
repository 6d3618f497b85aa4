"""Projected embeddings that leave the service and come back: their form on the wire, and the route.

Nothing here reads a pickle; what a client sends is safetensors or plain numbers of exactly one shape.
"""
