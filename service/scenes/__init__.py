"""Synthetic scenes, their rendered pictures, and true conversations about them.

``demo`` trains on them, and ``evaluation`` asks about them. Nothing here knows a model.
"""
