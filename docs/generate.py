"""Write into the pages what a program knows: commands, options, what was measured. `make docs` runs it.

A page asks for a block by its name, and whatever stands between the two lines is replaced::

    <!-- generated: NAME -->
    <!-- end -->

The names are those of `BLOCKS`. tests/test_docs_generated.py fails where a page is stale.
"""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from measured import MEASURED, table
from typer.main import get_command

from extract.backbones.applications import BACKBONES
from extract.backbones.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
PACKAGES = ("data", "extract", "classify")
VALUES = {Path: "PATH", str: "TEXT", int: "N", float: "X"}  # what stands for a value of that type


def main() -> None:
    """Bring every page up to date, and name those that were not."""
    for path, text in pages().items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")


def pages() -> dict[Path, str]:
    """Return every page that has a generated block, as it should be."""
    texts = {path: path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]}
    return {path: filled(text) for path, text in texts.items() if BLOCK.search(text)}


def filled(text: str) -> str:
    """Return a page with its blocks written anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", text)


def commands() -> str:
    """Return a section for each command of the three packages."""
    return "\n\n".join(section for package in PACKAGES for section in _sections(package))


def _sections(package: str) -> Iterator[str]:
    app: Any = get_command(importlib.import_module(f"{package}.cli").app)
    yield f"## python -m {package}\n\n{app.help}"
    for name, command in app.commands.items():
        yield _section(f"python -m {package} {name}", command)


def _section(words: str, command: Any) -> str:  # of click, which Typer ships under no public name
    text, _, example = command.help.partition("Example: ")
    hints = get_type_hints(command.callback, include_extras=True)
    arguments = [one for one in command.params if not one.opts[0].startswith("-")]
    options = [one for one in command.params if one not in arguments]
    usage = " ".join(
        [words, *map(_argument, arguments), *(_must(one, hints) for one in options if one.required)]
    )
    return "\n\n".join(
        [
            f"### {words}",
            f"    {usage} [OPTIONS]",
            *text.strip().split("\n\n"),
            f"    {' '.join(example.split())}",
            table(
                ("argument, option", "meaning", "default"),
                [
                    *((f"`{_argument(one)}`", *_meaning(one, hints)) for one in arguments),
                    *((_option(one, hints), *_meaning(one, hints)) for one in options),
                ],
            ),
        ]
    )


def _argument(argument: Any) -> str:
    word = (argument.metavar or argument.name.upper()).removesuffix("...")
    several = "..." if argument.nargs == -1 else ""
    return f"{word}{several}" if argument.required else f"[{word}{several}]"


def _must(option: Any, hints: dict[str, Any]) -> str:
    return f"{max(option.opts, key=len)} {_value(option, hints)}"


def _option(option: Any, hints: dict[str, Any]) -> str:
    """Return the names of an option, and what its value is."""
    value = _value(option, hints)
    names = [*option.opts[:-1], f"{option.opts[-1]} {value}".strip(), *option.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _value(option: Any, hints: dict[str, Any]) -> str:
    """Return what stands for the value of an option; nothing for a flag."""
    kind, _ = _annotation(option, hints)
    return "" if kind is bool else option.metavar or VALUES[kind]


def _meaning(parameter: Any, hints: dict[str, Any]) -> tuple[str, str]:
    """Return what a parameter means, and its default, which its text tells where it is found later."""
    _, given = _annotation(parameter, hints)
    stop = "." if parameter.help.endswith(".") else ""
    text, _, later = parameter.help.removesuffix(stop).partition("; default: ")
    least = "" if given.min is None else f"; at least {given.min}"
    return f"{text}{least}{stop}", later or _default(parameter)


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if isinstance(default, bool) and parameter.secondary_opts:
        default = (parameter.opts if default else parameter.secondary_opts)[0]
    values = default if isinstance(default, list | tuple) else [default]
    return ", ".join(f"`{value}`" for value in values if str(value) not in ("None", "False", ""))


def _annotation(parameter: Any, hints: dict[str, Any]) -> tuple[type, Any]:
    """Return the type of a parameter's values, and what Typer was told of the parameter.

    `list[str] | None` has values of str: the option is repeated.
    """
    kind, given = get_args(hints[parameter.name])
    while kind not in {*VALUES, bool}:
        kind = get_args(kind)[0]
    return kind, given


def rooms() -> str:
    """Return what the docstring of each room says of its modules."""
    return "\n\n".join(
        _room(path) for package in PACKAGES for path in sorted(ROOT.glob(f"{package}/*/__init__.py"))
    )


def _room(path: Path) -> str:
    what, _, *lines = ast.get_docstring(
        ast.parse(path.read_text()), clean=True
    ).splitlines()  # a test holds this form
    rows = (line.split(maxsplit=1) for line in lines)
    head = f"### {path.parent.relative_to(ROOT).as_posix()}\n\n{what}"
    return f"{head}\n\n{table(('module', 'what it is'), ((f'`{name}`', text) for name, text in rows))}"


def names() -> str:
    """Return the table of named backbones."""
    rows = (
        (
            f"`{name}`",
            str(entry.native_size),
            str(entry.min_size),
            f"`{entry.scaling}`",
            entry.licence or "not named",
        )
        for name, entry in BACKBONES.items()
    )
    return table(("name", "native size", "smallest", "scaling", "licence of the weights"), rows)


def kinds() -> str:
    """Return the table of kinds of backbones."""
    rows = (
        (kind.words, kind.said_as, *(("yes", "any") if kind.graph == "keras" else ("no", "openvino")))
        for kind in KINDS.values()
    )
    return table(("kind", "`--backbone`", "`finetune`, `layers`, `--live`", "engines"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "rooms": rooms,
    "names": names,
    "kinds": kinds,
    **MEASURED,
}

if __name__ == "__main__":
    main()
