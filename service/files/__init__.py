"""The store of uploaded images: one file on disk for each upload, owned by one API key.

Import :class:`service.files.store.FileStore`. It knows the disk, quotas and expiry. It must not
know HTTP, prompts, the encoder or vLLM.
"""
