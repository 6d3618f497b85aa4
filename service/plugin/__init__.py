"""The parts that vLLM loads by entry point in each process. They also work under ``vllm serve``.

A request meets them in this order: ``renderer`` and ``content_parts`` (messages to a prompt),
``media_connector`` (each image to its embeddings), ``processor`` (a placeholder for each
embedding), ``model`` (in the engine: embeddings in the placeholders' places). ``engine`` imports
names and the error table from here, ``api`` the content parts and messages too. The plugin must not
know the service around it: no HTTP settings, no admission, no routes.
"""
