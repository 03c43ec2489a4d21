"""What a program can write into the pages is up to date and whole, and what they name is there."""

import ast
import importlib
import json
import re
import sys

import pytest
from conftest import CODE, ROOT
from typer.main import get_command

sys.path.append(str(ROOT / "docs"))
generate = importlib.import_module("generate")
measured = importlib.import_module("measured")
api = importlib.import_module("api")
PAGES = generate.pages()  # before a test brings a backbone of its own
CLI = (ROOT / "docs" / "cli.md").read_text()
COMMANDS = [
    (package, name, command)
    for package in generate.PACKAGES
    for name, command in get_command(importlib.import_module(f"{package}.cli").app).commands.items()
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_up_to_date(path):
    assert path.read_text() == PAGES[path], f"{path.name} is stale: type make docs"


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


@pytest.fixture
def write(monkeypatch):
    """What writes the interface; what it adds to the packages is taken away again."""
    pytest.importorskip("pdoc")
    for package in map(importlib.import_module, api.PACKAGES):
        for name in package.__all__:
            monkeypatch.setitem(vars(package), name, getattr(package, name))
    return api.write


def test_the_interface_as_html(write, tmp_path):
    assert {"extract", "extract.recipe", "classify.bundle"} < set(api.modules())
    write(tmp_path, ["extract", "data.output"])
    assert "FeatureExtractor" in (tmp_path / "extract.html").read_text()
    assert "cache_folder" in (tmp_path / "data" / "output" / "cache.html").read_text()


def test_a_warning_of_the_interface_is_an_error(write, monkeypatch, tmp_path):
    monkeypatch.setattr("data.lists.__all__", ["no_such_name"], raising=False)
    with pytest.raises(UserWarning, match="no_such_name"):
        write(tmp_path, ["data.lists"])


def _texts():
    """Give every page and every docstring, with its place."""
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        yield path.name, path.read_text()
    for path in (path for package in generate.PACKAGES for path in (CODE / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield path.relative_to(CODE).as_posix(), ast.get_docstring(node) or ""


def _is_there(name):
    """Say whether a dotted name is a module, or something in one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        place, _, last = name.rpartition(".")
        return _is_there(place) and hasattr(_named(place), last)
    return True


def _named(name):
    """Return the module of that name, or what it names in one."""
    place, _, last = name.rpartition(".")
    return sys.modules[name] if name in sys.modules else getattr(_named(place), last)


def _missing(texts):
    dotted = re.compile(r"`((?:data|extract|classify)(?:\.(?!py\b|h5\b|csv\b)[A-Za-z_]\w*)+)")
    for place, text in texts:
        yield from (f"{place}: {name}" for name in dotted.findall(text) if not _is_there(name))


def test_what_pages_and_docstrings_name_is_there():
    assert sorted(set(_missing(_texts()))) == []


def test_what_is_not_there_is_found():
    words = "`data.text.counted`, `extract.Recipe.for_backbone`, `data.py`, `data.none`, `data.text.none(1)`"
    assert list(_missing([("page", words)])) == ["page: data.none", "page: data.text.none"]
