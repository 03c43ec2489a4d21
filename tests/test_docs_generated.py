"""What a program can write into the pages is up to date and whole."""

import importlib
import json
import re
import sys

import pytest
from conftest import ROOT
from typer.main import get_command

sys.path.append(str(ROOT / "docs"))
generate = importlib.import_module("generate")
measured = importlib.import_module("measured")
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


def test_every_result_has_a_table():
    assert set(measured.MEASURED) == {path.stem for path in measured.RESULTS.glob("*.json")}


@pytest.mark.parametrize("name", measured.MEASURED)
def test_a_table_names_its_machine_and_the_script_that_made_it(name):
    text = " ".join(measured.MEASURED[name]().split())
    script, kept = re.search(
        r"Made by `(.+?)`, kept in `(.+?)`; CPU .+, instruction sets .+, date ", text
    ).groups()
    assert kept == f"benchmarks/results/{name}.json" and (ROOT / kept).exists()
    if script.startswith("benchmarks/"):
        assert f'"{name}.json"' in (ROOT / script.split()[0]).read_text()


def test_a_newer_result_tells_all(monkeypatch, tmp_path):
    machine = {"processor": "EPYC 9", "instruction_sets": ["avx2", "amx_int8"], "cores": 2, "memory_gb": 25.3}
    machine |= {"python": "3.12", "versions": {"numpy": "2.4"}, "date": "2026-12-01"}
    (tmp_path / "new.json").write_text(json.dumps({"machine": machine}))
    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    text = " ".join(measured.block("new", "new.py", "Words.").split())
    assert "CPU EPYC 9, instruction sets avx2 amx_int8, cores 2, memory 25.3 GB, date 2026-12-01" in text
    assert text.endswith("Python 3.12, numpy 2.4.")


def test_figures_have_three_digits():
    figures = [measured.figure(value) for value in (1262.4, 47.38, 19, 0.01883)]
    assert figures == ["1,262", "47.4", "19.0", "0.0188"]
