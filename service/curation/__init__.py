"""Stage-2 data from a stage-1 model, after the paper's section 3.2: describe, continue, clean up, filter.

The command line imports :mod:`service.curation.command`. Models are asked through their HTTP APIs; nothing
here loads one.
"""
