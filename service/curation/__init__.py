"""Stage-2 data from a stage-1 model: describe, continue, clean up, filter (paper, section 3.2).

The command line imports :mod:`service.curation.command`. Models are asked through their HTTP APIs;
nothing here loads one.
"""
