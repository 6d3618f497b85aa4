"""Damaged copies of files, for readers of untrusted data."""

import random


def mutate(generator: random.Random, data: bytes, changes: int, cut_share: float = 0.0) -> bytes:
    """Change up to ``changes`` random bytes, and cut the end off with probability ``cut_share``."""
    damaged = bytearray(data)
    for _ in range(generator.randint(1, changes)):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    if generator.random() < cut_share:
        del damaged[generator.randrange(len(damaged)) :]
    return bytes(damaged)
