"""The layouts of the published files: tables of tensor names, and the sizes that follow from the tensors.

The tables are data; ``name_table`` applies them.
"""
