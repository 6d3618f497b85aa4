"""The layouts of the published files: tables of tensor names, and sizes derived from tensors.

The tables are data; ``name_table`` applies them.
"""
