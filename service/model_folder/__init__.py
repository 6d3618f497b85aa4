"""The format of a model on disk: ``model_index.json``, ``vision/``, ``tokenizer/``, ``language_model/``.

Import :class:`service.model_folder.layout.ModelFolder` to open a folder and
:func:`service.model_folder.validation.validate` to check it. Nothing here builds a torch module, and nothing
here knows how a folder is served or made.
"""
