"""Write the Python interface as HTML, from docstrings, into build/docs. `make docs` runs it; needs pdoc."""

import importlib
import warnings
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("data", "extract", "classify")


def modules() -> list[str]:
    """Name the packages, whose pages show what they export, and every module."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    paths = [path.relative_to(ROOT).with_suffix("") for path in files if not path.name.startswith("__")]
    return [*PACKAGES, *(".".join(path.parts) for path in paths)]


def write(folder: Path, names: Iterable[str]) -> None:
    """Write a page for each name; a warning of pdoc, as of an export that is not there, is an error."""
    import pdoc

    for package in map(importlib.import_module, PACKAGES):
        exported = {name: getattr(package, name) for name in package.__all__}
        vars(package).update(exported)  # pdoc does not ask for what a package imports on use
    pdoc.render.configure(docformat="numpy", show_source=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="pdoc")
        pdoc.pdoc(*names, output_directory=folder)


if __name__ == "__main__":
    write(ROOT / "build" / "docs", modules())
