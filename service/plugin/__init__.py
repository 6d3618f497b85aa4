"""The parts that vLLM loads by entry point in each process: model, processor, renderer and more.

They also work under plain ``vllm serve``. ``engine`` and ``api`` import its names and its error
table. The plugin must not know the service around it: no HTTP settings, no admission, no routes.
"""
