"""What vLLM loads by entry point in each process: model, processor, renderer, media connector, tool parser.

It works under plain ``vllm serve`` as well. ``engine`` and ``api`` import its names and its error table. The
plugin must not know the service around it: no settings of HTTP, no admission, no routes.
"""
