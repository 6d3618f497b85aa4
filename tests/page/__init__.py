"""The page, used as people use it: a real browser in front of the running service."""
