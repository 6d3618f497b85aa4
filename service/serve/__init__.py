"""The ``serve`` command: reads settings and flags, starts the service, and stops it.

The command line imports :mod:`service.serve.command` and :mod:`service.serve.vllm_command`; nothing
else imports this folder. It knows processes, signals and sockets. It must not know routes or what a
request says.
"""
