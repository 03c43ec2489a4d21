"""Imports point one way, and light modules stay light."""

import ast
import importlib
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGES = {"data": set(), "extract": {"data"}, "classify": {"data", "extract"}}
HEAVY = {"tensorflow", "keras", "openvino", "ray", "tensorflow_datasets", "sklearn", "skops", "optuna"}
LIGHT = [
    "data",
    "extract",
    "classify",
    "data.sources.source",
    "data.sources.folder",
    "data.sources.tree",
    "data.images",
    "data.augment",
    "data.contact_sheet",
    "data.cli",
    "extract.cli",
    "classify.cli",
    "classify.commands.show",
]
LIGHT += [
    "extract.recipe",
    "extract.row_cache",
    "extract.feature_file.reader",
    "extract.feature_file.shards",
    "extract.feature_file.merge",
    "extract.cluster.connect",
    "extract.cluster.driver",
    "extract.run.extract",
    "extract.backbones.weights",
    "extract.run.bench",
    "extract.run.calibrate",
    "extract.engines.conversion",
    "extract.given",
    "classify.features.load",
    "classify.features.matrix",
    "classify.features.rows",
    "classify.bundle.trees",
    "classify.bundle.bundle",
    "classify.bundle.detector",
    "classify.selection.grids",
    "classify.heads.parameters",
    "classify.selection.sweep",
    "classify.selection.search",
    "classify.finetuning.images",
    "classify.finetuning.run_state",
    "classify.bundle.export",
    "classify.features.blocks",
    "classify.heads.memory",
    "classify.benchmark.arms",
    "classify.benchmark.benchmark",
    "classify.finetuning.options",
    "classify.commands.benchmark",
    "classify.scores.benchmark_figure",
    "classify.benchmark.report",
]


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


OURS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}


def _imported_of_ours(path):
    """Name the modules of ours that a file imports, in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in OURS)
        elif isinstance(node, ast.ImportFrom):
            found = {f"{node.module}.{name.name}" for name in node.names} & OURS.keys()
            yield from found or {node.module} & OURS.keys()


def _circles(imports):
    """Return the modules that are left once those that import nothing which is left are taken away."""
    left = {module: set(others) - {module} for module, others in imports.items()}
    while free := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in free}
    used = set().union(*left.values())  # what only imports a circle is none
    while unused := left.keys() - used:
        left = {module: others for module, others in left.items() if module not in unused}
        used = set().union(*left.values())
    return {module: sorted(others & left.keys()) for module, others in left.items()}


def test_no_circle():
    assert _circles({module: _imported_of_ours(path) for module, path in OURS.items()}) == {}


def test_a_circle_is_found():
    imports = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": [], "e": ["a"]}
    assert _circles(imports) == {"a": ["b"], "b": ["c"], "c": ["a"]}


@pytest.mark.parametrize("package", PACKAGES)
def test_direction(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        ours = {name.split(".")[0] for name in _imported(path)} & set(PACKAGES)
        assert ours <= PACKAGES[package] | {package}, path


def test_hdf5_of_features_is_in_few_modules():
    users = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "h5py" in set(_imported(path))
    }
    names = {f"extract/{name}.py" for name in ("layout", "part", "store", "verify", "weights")}
    assert users == {*names, "data/output/ours.py"}  # which reads one attribute


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules(module):
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_pickle():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert not {"pickle", "dill", "cloudpickle"} & set(_imported(path)), path
            assert "joblib.load" not in path.read_text() and "joblib.dump" not in path.read_text(), path
            assert "allow_pickle=True" not in path.read_text(), path


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_the_public_names(package):
    module = importlib.import_module(package)
    public = {name for name in dir(module) if not name.startswith("_")}
    assert public == set(module.__all__)
    assert all(getattr(module, name) is not None for name in public)
    assert "__version__" in dir(module) or package == "classify"
