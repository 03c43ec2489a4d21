"""What a program can write into the pages is up to date and whole."""

import importlib.util

import pytest
from conftest import ROOT
from typer.main import get_command


def _generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _generate()
CLI = (ROOT / "docs" / "cli.md").read_text()
COMMANDS = [
    (package, name, command)
    for package in generate.PACKAGES
    for name, command in get_command(importlib.import_module(f"{package}.cli").app).commands.items()
]


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_a_page_is_up_to_date(path):
    assert path.read_text() == generate.pages()[path], f"{path.name} is stale: type make docs"


def test_a_page_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    assert generate.commands() in CLI


def test_every_block_stands_on_a_page():
    asked = {name for path in generate.pages() for _, name, _ in generate.BLOCK.findall(path.read_text())}
    assert asked == set(generate.BLOCKS)


def test_a_block_replaces_what_stood_there(monkeypatch):
    monkeypatch.setitem(generate.BLOCKS, "one", lambda: r"\1 new")
    page = "a\n<!-- generated: one -->\nold\n<!-- end -->\nb\n"
    new = "a\n<!-- generated: one -->\n\n\\1 new\n\n<!-- end -->\nb\n"
    assert generate.filled(page) == generate.filled(new) == new


def test_an_unknown_block_is_named():
    with pytest.raises(KeyError, match="none"):
        generate.filled("<!-- generated: none -->\n<!-- end -->")


@pytest.mark.parametrize(("package", "name", "command"), COMMANDS, ids=lambda value: str(value))
def test_every_command_and_option_stands_in_the_page(package, name, command):
    _, _, rest = CLI.partition(f"\n### python -m {package} {name}\n")
    section = rest.partition("\n### ")[0]
    assert command.help.partition("\n")[0] in section
    for parameter in command.params:
        for option in [*parameter.opts, *parameter.secondary_opts]:
            assert not option.startswith("-") or f"`{option}" in section, option
        assert parameter.help.partition("; default: ")[0].removesuffix(".").replace("|", r"\|") in section
