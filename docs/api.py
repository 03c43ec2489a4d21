"""Write the Python interface as HTML, from docstrings, into build/docs. `make docs` runs it; needs pdoc."""

import importlib
import pkgutil
import warnings
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("data", "extract", "classify")


def modules() -> list[str]:
    """Name the packages, whose pages show what they export, and their rooms, which bring their modules."""
    names = list(PACKAGES)
    for package in PACKAGES:
        inside = pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}.")
        names += [module.name for module in inside if not module.name.endswith("__main__")]
    return names


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
