"""``make docs``: write the parts of the reference that come from the code.

These are the page of commands and the table of settings. ``--check`` writes nothing and fails where
a page is stale.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from service.cli import GROUPS
from service.settings import Settings

REFERENCE = Path(__file__).parent / "reference"
COMMANDS = REFERENCE / "commands.md"
SETTINGS = REFERENCE / "settings.md"
START, END = "<!-- generated: make docs -->\n", "<!-- end -->\n"

COMMANDS_HEAD = f"""# Commands

{START}
`python -m service COMMAND --help` prints the same. Installed as a package, the program is `minigpt4-service`.
"""


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a page is stale")
    check = parser.parse_args().check
    stale = list(find_stale_pages())
    for page, text in stale:
        if not check:
            page.write_text(text)
    if check and stale:
        sys.exit(f"stale, run `make docs`: {', '.join(page.name for page, _ in stale)}")


def find_stale_pages() -> Iterator[tuple[Path, str]]:
    """Each page whose text differs from what the code says, with the right text."""
    before, _, rest = SETTINGS.read_text().partition(START)
    after = rest.partition(END)[2]
    settings = "".join(f"{row}\n" for row in describe_settings())
    pages = {
        COMMANDS: "\n".join([COMMANDS_HEAD, *describe_commands()]).rstrip("\n") + "\n",
        SETTINGS: f"{before}{START}{settings}{END}{after}",
    }
    for page, text in pages.items():
        if not page.exists() or page.read_text() != text:
            yield page, text


def describe_settings() -> Iterator[str]:
    """The table of settings, line by line."""
    yield "| setting | default | |"
    yield "| --- | --- | --- |"
    for name, field in Settings.model_fields.items():
        yield f"| `{name}` | {show_default(field.default)} | {join_lines(field.description or '')} |"


def show_default(value: object) -> str:
    """A setting's default, as a TOML file would have it."""
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        return f"`{sorted(value)}`"
    if isinstance(value, Path):
        home = str(Path.home())
        return f"`{str(value).replace(home, '~', 1)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def describe_commands() -> Iterator[str]:
    """A heading for each group and command, with the tables of its options."""
    for title, group in GROUPS.items():
        yield f"## {title[0].upper()}{title[1:]}\n"
        for name, (module_name, summary) in group.items():
            parser = argparse.ArgumentParser(
                prog=f"python -m service {name}", description=f"{summary}."
            )
            importlib.import_module(module_name).add_arguments(parser)
            yield from describe_parser(parser, f"### {name}")


def describe_parser(parser: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    """One command: its description, its options, and its subcommands below it."""
    description = join_lines(parser.description or "")
    yield f"{heading}\n\n{description[:1].upper()}{description[1:]}\n"
    rows = [row for action in parser._actions if (row := describe_option(action))]
    if rows:
        yield "\n".join(["| option | default | |", "| --- | --- | --- |", *rows, ""])
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for (name, child), choice in zip(
                action.choices.items(), action._choices_actions, strict=True
            ):
                child.description = child.description or f"{choice.help}."
                yield from describe_parser(child, f"#### {heading.lstrip('# ')} {name}")


def describe_option(action: argparse.Action) -> str | None:
    """Make a row of the table; None for help, subcommands and settings."""
    own_page = action.dest.startswith("setting_")
    if own_page or isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
        return None
    names = action.option_strings or [str(action.metavar or action.dest)]
    text = (action.help or "") % {**vars(action), "prog": ""}
    text = re.sub(r" *\(default: " + re.escape(str(action.default)) + r"\)", "", text)
    cells = (
        ", ".join(f"`{name}`" for name in names) + show_value(action),
        show_option(action),
        text,
    )
    return f"| {' | '.join(join_lines(cell) for cell in cells)} |"


def show_value(action: argparse.Action) -> str:
    """What follows a flag on the command line."""
    if not action.option_strings or action.nargs == 0:
        return ""
    choices = ", ".join(map(str, action.choices or ()))
    return (
        f" `{action.metavar}`"
        if action.metavar
        else f" one of {choices}"
        if choices
        else " `VALUE`"
    )


def show_option(action: argparse.Action) -> str:
    """An option's default."""
    if action.required:
        return "required"
    if action.default is None or action.nargs == 0:
        return ""
    many = isinstance(action.default, (list, tuple))
    words = map(str, action.default) if many else [str(action.default)]
    return f"`{' '.join(words)}`"


def join_lines(text: str) -> str:
    """``text`` in one line, with what would end a table's cell escaped."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
