"""Errors of the user: four named parts, built-in types to act on, and lines that let them pass."""

import ast
import errno
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CODE

from data import HeadstartError
from data.errors import NotAllowedError, NotFoundError, UsageError, is_missing, missing_extra

PACKAGES = ("data", "extract", "classify")
PARTS = ("happened", "expected", "received", "todo")
SYSTEM = {"OSError", "FileNotFoundError", "PermissionError"}


@pytest.mark.parametrize("kind", [HeadstartError, UsageError, NotFoundError, NotAllowedError])
def test_the_four_parts_have_names_and_travel_between_processes(kind):
    error = kind(*PARTS)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(each) is kind and each.args == PARTS
        assert (each.happened, each.expected, each.received, each.todo) == PARTS
        assert str(each) == "happened\n  expected: expected\n  received: received\n  what to do: todo"


@pytest.mark.parametrize(
    ("kind", "builtin", "number"),
    [(NotFoundError, FileNotFoundError, errno.ENOENT), (NotAllowedError, PermissionError, errno.EACCES)],
)
def test_what_a_program_acts_on_is_a_built_in_error_too(kind, builtin, number):
    error = pickle.loads(pickle.dumps(kind(*PARTS)))
    assert isinstance(error, builtin) and isinstance(error, HeadstartError)
    assert (error.errno, error.filename, error.strerror) == (number, None, None)


def test_a_path_that_is_not_there_is_file_not_found(tmp_path):
    from data.sources.source import open_source
    from extract import FeatureFile
    from extract.backbones.weights import find_weights

    gone = tmp_path / "gone"
    assert is_missing(gone)
    for read in (open_source, FeatureFile, lambda path: find_weights("xception", path)):
        with pytest.raises(FileNotFoundError, match="what to do"):
            read(gone)


def test_an_extra_that_is_missing_says_how_to_install_it():
    error = missing_extra("int8 needs NNCF", "int8", "No module named 'nncf'")
    assert error.todo == "pip install '.[int8]' in Headstart's folder"
    assert error.happened == "int8 needs NNCF, which is not installed"


def test_every_line_that_catches_oserror_lets_errors_of_ours_pass():
    """They are OSErrors too, and would be told as a full disk, or not at all."""
    paths = [path for package in PACKAGES for path in (CODE / package).rglob("*.py")]
    assert len(paths) > 100
    assert [line for path in sorted(paths) for line in swallowing(path)] == []


def test_lines_that_would_swallow_an_error_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "from data.output.disk import sync\n"
        "KINDS = (OSError, KeyError)\n"
        "def one():\n    try:\n        sync('a')\n    except KINDS:\n        pass\n"
        "def two():\n    with suppress(OSError):\n        one()\n"
        "def three():\n    try:\n        yield\n    except HeadstartError:\n        raise\n"
        "    except OSError:\n        pass\n"
        "def four():\n    try:\n        open('a')\n    except OSError:\n        pass\n"
    )
    assert [line.rpartition(":")[2] for line in swallowing(path)] == ["6", "9"]


def swallowing(path: Path) -> Iterator[str]:
    """Yield the lines of a module that catch OSError around code of ours, or around a caller's."""
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            own |= {alias.asname or alias.name for alias in node.names}
    kinds = {
        target.id: names_in(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        for line, caught, body in handlers(node):
            caught = caught.union(*(kinds.get(name, ()) for name in caught))
            if caught & SYSTEM and "HeadstartError" not in caught and calls(body, own):
                yield f"{path}:{line}"


def handlers(node: ast.AST) -> Iterator[tuple[int, set[str], list[ast.AST]]]:
    """Yield line, names and body of what catches errors; names of handlers above it count with it."""
    if isinstance(node, ast.Try):
        above: set[str] = set()
        for handler in node.handlers:
            above |= names_in(handler.type)
            yield handler.lineno, set(above), node.body
    if isinstance(node, ast.With):
        for item in node.items:
            called = item.context_expr
            if isinstance(called, ast.Call) and names_in(called.func) == {"suppress"}:
                others = [each.context_expr for each in node.items if each is not item]
                yield node.lineno, names_in(called), [*others, *node.body]


def names_in(node: ast.AST | None) -> set[str]:
    found = () if node is None else ast.walk(node)
    return {each.id for each in found if isinstance(each, ast.Name)}


def calls(body: list[ast.AST], own: set[str]) -> bool:
    """Tell whether code calls functions or methods of ours, or gives way to a caller."""
    for node in (each for statement in body for each in ast.walk(statement)):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in own:
                return True
    return False
