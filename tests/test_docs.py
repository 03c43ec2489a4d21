"""The commands, code and links of the pages hold, and the tour prints what it shows."""

import doctest
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CODE, ROOT
from typer.main import get_command

PACKAGES = ("data", "extract", "classify")
APPS = {name: get_command(importlib.import_module(f"{name}.cli").app) for name in PACKAGES}
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
}
README = PAGES["README.md"]
MANUAL = {name: text for name, text in PAGES.items() if name == "README.md" or name.startswith("docs/")}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OURS = rf"python -m (?:{'|'.join(PACKAGES)}) "


def _blocks(page: str, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page) if found == language]


def _commands(page: str) -> Iterator[str]:
    """Yield the commands in a page: typed, named as next, on lines of their own and inside a sentence."""
    lines = re.findall(rf"^(?:\$ |next: |    )(?:.* && )?({OURS}.+)$", page, re.MULTILINE)
    yield from (line for line in lines if not line.endswith(" [OPTIONS]"))  # which cli.md has for usage
    yield from re.findall(rf"`({OURS}[^`]+)`", FENCE.sub("", page))


def _steps(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command of the consoles in a page, and what it prints there."""
    for block in _blocks(page, "console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = step.partition("\n")
            yield command, printed


@pytest.mark.parametrize("command", sorted({line for page in MANUAL.values() for line in _commands(page)}))
def test_every_command_of_the_pages_parses(command: str):
    package, name, *words = shlex.split(command, comments=True)[2:]
    APPS[package].commands[name].make_context(name, words).close()


def test_every_command_stands_in_the_readme():
    rows = re.findall(r"^\| `(\w+ \w+)` \|", README, re.MULTILINE)
    assert rows == [f"{package} {name}" for package, app in APPS.items() for name in app.commands]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_set_up_lines():
    assert "pip install . && python -m extract run" in README
    assert "pip install '.[test]' && python -m pytest" in README
    gate = (ROOT / ".ci" / "run").read_text()
    assert '"$folder"/*.whl)[dev]"' in gate and " python -m pytest " in gate


def _anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str):
    prose = re.sub(r"`[^`]*`", "", FENCE.sub("", PAGES[name]))
    for link in re.findall(r"\]\(([^)]+)\)", prose):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), link
        assert not anchor or anchor in _anchors(path.read_text()), link


@pytest.mark.parametrize("name", [*MANUAL, "CONTRIBUTING.md"])
def test_files_that_pages_name_exist(name: str):
    for file in re.findall(r"`((?:tests|benchmarks|docs|data|extract|classify)/[\w/]+\.\w+)`", PAGES[name]):
        assert (ROOT / file).exists(), file


def test_every_page_stands_in_the_index():
    linked = set(re.findall(r"^\| \[(\w+\.md)\]", PAGES["docs/README.md"], re.MULTILINE))
    assert linked == {Path(name).name for name in MANUAL} - {"README.md"}


@pytest.fixture(scope="module")
def tour(imagenet, tmp_path_factory):
    """The folder in which the tour on the digits runs."""
    return tmp_path_factory.mktemp("tour")


def _shape(text: str) -> list[str]:
    """Return lines with measured numbers and spaces evened out: processors differ in the last digits."""
    measured = r"[\d.]+(?![\d.]| (?:rows|computed|reused|rejected))"
    return [re.sub(measured, "N", re.sub(r"\s+", " ", line.strip())) for line in text.splitlines()]


def _is_shown(printed: str, shown: str) -> bool:
    """Say whether a page shows what was printed, or the beginning of it and three dots."""
    lines, expected = _shape(printed), _shape(shown.removesuffix("...\n"))
    return (lines[: len(expected)] if shown.endswith("\n...\n") else lines) == expected


def test_the_tour_prints_what_the_pages_show(tour):
    (block,) = [block for block in _blocks(README, "console") if "python -m extract run\n" in block]
    steps = list(_steps(f"```console\n{block}```"))
    others = [step for name, page in MANUAL.items() if name != "README.md" for step in _steps(page)]
    assert len(steps) >= 4
    for command, shown in steps:
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tour, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for each in [shown, *(printed for other, printed in others if other == command)]:
            assert _is_shown(done.stdout, each), (done.stdout, each)
    assert any(command == steps[-1][0] for command, _ in others), "a page shows all that evaluate prints"


def test_the_tour_in_python_runs(tour, monkeypatch, capsys):
    monkeypatch.chdir(tour)
    names: dict = {}
    for code in _blocks(README, "python"):
        exec(compile(code, "README.md", "exec"), names)
    first, *labels = capsys.readouterr().out.splitlines()
    assert re.search(r"'value': 0\.9\d+", first)
    assert labels == [names["source"].class_names[row.label] for row in names["source"].rows[:3]]
    for name, page in MANUAL.items():
        for code in _blocks(page, "python") if name != "README.md" else []:
            exec(compile(code, name, "exec"), {})


def _modules():
    for package in PACKAGES:
        for path in sorted((CODE / package).rglob("*.py")):
            if path.name != "__main__.py":
                yield ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", list(_modules()))
def test_examples_in_docstrings(module):
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failed == 0
