"""The ``minigpt4-service`` command line: find the command's module, import it, run it."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Iterator, Sequence

from service import __version__
from service.errors import ServiceError

# For each command the module that does the work, with add_arguments(parser) and run(arguments), and
# one line of help. A module is imported only when its command runs, so that `--help` does not load
# torch.
GROUPS = {
    "serve": {
        "serve": ("service.serve.command", "serve a model folder over HTTP"),
        "vllm-command": (
            "service.serve.vllm_command",
            "print the command that serves a model folder with plain vLLM",
        ),
        "keys": ("service.api.keys_command", "add, list, limit and remove the API keys of a file"),
    },
    "make a model": {
        "import": (
            "service.checkpoints.import_command",
            "make a model folder from published checkpoints",
        ),
        "compose": (
            "service.checkpoints.compose_command",
            "make a model folder of any vision encoder and any language model",
        ),
        "init-model": (
            "service.checkpoints.init_model_command",
            "make a model folder with random weights",
        ),
        "align": ("service.training.command", "train the projection of a model folder"),
        "export": (
            "service.training.export_command",
            "write what align trained as the original's .pth or a folder",
        ),
        "curate": (
            "service.curation.command",
            "write stage-2 training data with the help of a running service",
        ),
        "build-demo": ("service.demo.command", "make the demo model's weights from a seed"),
    },
    "use": {
        "caption": (
            "service.captioning.command",
            "describe a folder of images, with a running service or one of its own",
        ),
    },
    "measure": {
        "inspect": (
            "service.model_folder.inspect_command",
            "show what a model folder holds and how much memory it needs",
        ),
        "evaluate": (
            "service.evaluation.command",
            "measure how often a running service's answers are correct",
        ),
        "experiment": (
            "service.experiments.command",
            "repeat an experiment of the MiniGPT-4 paper on your images",
        ),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}

USAGE_ERROR = 2
"""Exit status when the command line is wrong, as argparse has it."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command.

    An error of ours becomes one line on standard error and exit status 1; Ctrl-C gives status 130.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _make_parser()
    position = next((i for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    parser.parse_args(argv[:position])
    if position == len(argv):
        parser.print_help(sys.stderr)
        sys.exit(USAGE_ERROR)
    name = argv[position]
    if name not in COMMANDS:
        parser.error(f"there is no command {name!r}{_suggest(name)}")
    try:
        _run(name, argv[position + 1 :])
    except (
        ServiceError,
        OSError,
    ) as error:  # OSError: a full disk, a folder that cannot be written
        sys.exit(f"minigpt4-service: {error}")
    except KeyboardInterrupt:
        print("minigpt4-service: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minigpt4-service",
        usage="%(prog)s COMMAND [OPTIONS]",
        description="\n".join(_list_commands()),
        epilog="`%(prog)s COMMAND --help` shows the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _list_commands() -> Iterator[str]:
    yield "Serve MiniGPT-4, make its models, and measure them."
    for title, group in GROUPS.items():
        yield f"\n{title}:"
        for name, (_, summary) in group.items():
            yield f"  {name:<14}{summary}"


def _suggest(name: str) -> str:
    nearest = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else "; see --help for the commands"


def _run(name: str, words: Sequence[str]) -> None:
    module_name, summary = COMMANDS[name]
    module = importlib.import_module(module_name)
    # Without abbreviations, because `serve` passes flags that it does not know on to vLLM.
    parser = argparse.ArgumentParser(
        prog=f"minigpt4-service {name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    arguments, unknown = parser.parse_known_args(words)
    if unknown and name != "serve":
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    arguments.vllm_flags = unknown
    module.run(arguments)
