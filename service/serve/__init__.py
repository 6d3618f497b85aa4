"""The ``serve`` command: settings and flags in, a listening service out, until it is told to stop.

The command line imports :mod:`service.serve.command` and :mod:`service.serve.vllm_command`; nothing else
imports this folder. It knows processes, signals and sockets. It must not know routes or what a request says.
"""
