"""What is installed is what the checkout holds, file by file, and nothing else."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest
from conftest import CODE, ROOT

PACKAGES = {"data", "extract", "classify"}


def held(folder: Path) -> dict[str, bytes]:
    """Return the files of the three packages below a folder; what Python compiles is its own affair."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in (folder / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_every_file_of_the_checkout_is_installed_as_it_is():
    tested, checkout = held(CODE), held(ROOT)
    assert checkout.keys() - tested.keys() == set()
    assert tested.keys() - checkout.keys() == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= tested.keys()
    assert [name for name in checkout if tested[name] != checkout[name]] == []


def test_the_wheel_brings_no_other_name():
    try:
        found = files("headstart") or []
    except PackageNotFoundError:
        found = []
    if not any(Path(path.locate()).resolve() == CODE / "data/__init__.py" for path in found):
        pytest.skip("the packages under test are those of the checkout")
    names = {path.parts[0] for path in found if path.parts[0] != ".."}  # where scripts lie
    assert {name for name in names if not name.endswith(".dist-info")} == PACKAGES
