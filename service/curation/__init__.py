"""Stage-2 data from a stage-1 model, after section 3.2 of the paper, with filters of our own.

The command line imports :mod:`service.curation.command`. Models are asked through their HTTP APIs;
nothing here loads one.
"""
