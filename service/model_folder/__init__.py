"""The format of a model folder: its index, vision encoder, tokenizer and language model.

Import :class:`service.model_folder.layout.ModelFolder` to open a folder and
:func:`service.model_folder.validation.validate` to check it. This folder builds no torch module,
and it does not know how a model folder is made or served.
"""
