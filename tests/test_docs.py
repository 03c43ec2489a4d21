"""The README's commands and code run, and say what it shows."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys

import pytest
from conftest import CODE, ROOT
from typer.main import get_command

README = (ROOT / "README.md").read_text()
PACKAGES = ("data", "extract", "classify")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
CONSOLE = [text for language, text in BLOCKS if language == "console"]
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = sorted(
    {line.removeprefix("$ ") for text in CONSOLE for line in text.splitlines() if line.startswith("$ ")}
    | set(re.findall(r"`(python -m (?:data|extract|classify) [^`]*)`", README))
)


def _apps():
    return {name: get_command(importlib.import_module(f"{name}.cli").app) for name in PACKAGES}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m ")])
def test_every_command_of_the_readme_parses(command):
    package, name, *words = shlex.split(command, comments=True)[2:]
    command = _apps()[package].commands[name]
    command.make_context(name, words).close()


def test_every_command_stands_in_the_readme():
    for package, app in _apps().items():
        for name in app.commands:
            assert f"python -m {package} {name}" in README


def test_every_option_stands_in_the_readme():
    for app in _apps().values():
        for command in app.commands.values():
            for parameter in command.params:
                option = max(parameter.opts, key=len)
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in README, f"{command.name} {option}"


def test_set_up_lines():
    assert "pip install . && python -m extract run" in README
    assert "pip install '.[test]' && python -m pytest" in README
    gate = (ROOT / ".ci" / "run").read_text()
    assert 'pip install --quiet "${wheel}[test]"' in gate and " python -m pytest " in gate


@pytest.fixture(scope="module")
def tour(imagenet, tmp_path_factory):
    """The folder in which the tour on the digits runs."""
    return tmp_path_factory.mktemp("tour")


def _shape(text: str) -> list[str]:
    """Return lines with numbers and spaces evened out: other processors differ in the last digits."""
    return [re.sub(r"[\d.]+", "N", re.sub(r"\s+", " ", line.strip())) for line in text.splitlines()]


def test_the_tour_prints_what_the_readme_shows(tour):
    (text,) = [text for text in CONSOLE if "python -m extract run\n" in text]
    steps = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    assert len(steps) >= 3
    for step in steps:
        command, _, expected = step.partition("\n")
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tour, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert _shape(done.stdout) == _shape(expected)


def test_the_tour_in_python_runs(tour, monkeypatch, capsys):
    monkeypatch.chdir(tour)
    names = {}
    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), names)
    first, *labels = capsys.readouterr().out.splitlines()
    assert re.search(r"'value': 0\.9\d+", first)
    assert labels == [names["source"].class_names[row.label] for row in names["source"].rows[:3]]


def _modules():
    for package in PACKAGES:
        for path in sorted((CODE / package).rglob("*.py")):
            if path.name != "__main__.py":
                yield ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", list(_modules()))
def test_examples_in_docstrings(module):
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failed == 0
