"""Synthetic scenes: what is in them, their pictures, and true conversations about them.

``demo`` trains on them and ``evaluation`` asks about them. Nothing here knows a model.
"""
