"""The ``minigpt4-service`` command: one line a sub-command, each in the module that does the work."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from service import __version__
from service.errors import ServiceError

# Module of each command; it offers add_arguments(parser) and run(arguments). Imported on demand, so
# that `--help` does not load torch.
COMMANDS = {
    "serve": ("service.serve.command", "serve a model folder over HTTP"),
    "import": (
        "service.checkpoints.import_command",
        "make a model folder from published checkpoints",
    ),
    "inspect": ("service.model_folder.inspect", "say what a model folder holds and needs"),
    "vllm-command": (
        "service.serve.vllm_command",
        "print the line that serves a folder with plain vLLM",
    ),
    "keys": ("service.api.keys_command", "add a key to a file of API keys"),
    "init-model": ("service.checkpoints.init_command", "write a model folder with random weights"),
    "align": ("service.training.command", "train the projection of a model folder"),
    "curate": ("service.curation.command", "have a service write stage-2 descriptions"),
    "evaluate": ("service.evaluation.command", "measure a running service's answers about scenes"),
    "build-demo": ("service.demo.command", "make the demo model's weights from seed"),
}


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; a failure of ours is one line on standard error and exit status 1, Ctrl-C is 130."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="minigpt4-service", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        # `serve` hands flags it does not know on to vLLM, --help among them.
        command = commands.add_parser(name, help=summary, allow_abbrev=False)
        if name == chosen:
            importlib.import_module(module).add_arguments(command)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown and arguments.command != "serve":
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    arguments.vllm_flags = unknown
    try:
        importlib.import_module(COMMANDS[arguments.command][0]).run(arguments)
    except (ServiceError, OSError) as error:  # a full disk, a folder that may not be written
        sys.exit(f"minigpt4-service: {error}")
    except KeyboardInterrupt:
        print("minigpt4-service: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
