"""Imports point one way, between rooms too, and light modules stay light."""

import ast
import importlib
import re
import subprocess
import sys

import pytest
from conftest import CODE, ROOT

PACKAGES = ("data", "extract", "classify")
# Rooms, and modules beside them: each may import those before it, as docs/architecture.md shows.
PLACES = {
    "data": "text columns texts errors lists names allowed splits split_rule stratified augment machine"
    " scratch resize jpeg npy images output stores tables placed patterns sources archives parquet testing"
    " interrupt child attached document console source_options progress contact_sheet cli",
    "extract": "siblings given ported backbones model_files recipe engines feature_file run row_cache"
    " transformer cluster commands cli",
    "classify": "head features scores penalized heads bundle abstain judge summary selection audit"
    " finetuning benchmark frontier report commands cli headstart",
}
ORDER = [f"{package}.{name}" for package, names in PLACES.items() for name in names.split()]
LIBRARIES = {"tensorflow", "keras", "openvino", "ray", "tensorflow_datasets", "sklearn", "skops", "optuna"}
HEAVY = {  # modules that need one of them for whatever they do
    "extract.transformer",
    "classify.bundle.keras_model",
    *(f"classify.heads.{name}" for name in ("dense_layer", "keras_head", "linear_decision", "linear_svm")),
    *(f"classify.heads.{name}" for name in ("logistic", "ridge", "streaming")),
    *(f"classify.finetuning.{name}" for name in ("finetune", "judge", "live", "loops", "model", "training")),
}


PAGE = (ROOT / "docs" / "architecture.md").read_text()


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


OURS = {
    ".".join(path.relative_to(CODE).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((CODE / package).rglob("*.py"))
}
ROOMS = {module for module, path in OURS.items() if path.stem == "__init__" and "." in module}


def _room(module):
    """Return the room of a module, or the module itself where it stands beside the rooms."""
    return ".".join(module.split(".")[:2])


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


def test_private_names_stay_in_their_module():
    for module, path in OURS.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
                taken = [name.name for name in node.names if name.name.startswith("_")]
                assert set(taken) <= {"__version__"}, f"{module} takes {taken} of {node.module}"


def test_every_module_has_its_place():
    beside = {_room(module) for module in OURS if "." in module and not module.endswith("__main__")}
    assert beside == set(ORDER) and len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("place", ORDER)
def test_rooms_import_those_before_them(place):
    allowed = {
        *ORDER[: ORDER.index(place) + 1],
        "data",
        "extract",
    }  # the packages hand on names of their rooms
    if place in ("data.sources", "data.console"):
        allowed -= {"extract"}
    for module, path in OURS.items():
        if _room(module) == place:
            wrong = {other for other in _imported_of_ours(path) if _room(other) not in allowed}
            assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_maps_its_modules_and_imports_nothing(room):
    path = OURS[room]
    tree = ast.parse(path.read_text())
    assert len(tree.body) == 1, "a docstring, and nothing else"
    named = [line.split()[0] for line in ast.get_docstring(tree).splitlines()[2:]]
    assert sorted(named) == sorted(each.stem for each in path.parent.glob("*.py") if each != path)


def test_modules_and_rooms_are_small():
    assert {module: 0 for module, path in OURS.items() if len(path.read_text().splitlines()) > 350} == {}
    for room in ROOMS:
        assert len(list(OURS[room].parent.glob("*.py"))) <= 15, room


def test_hdf5_of_features_is_in_few_modules():
    users = {module for module, path in OURS.items() if "h5py" in set(_imported(path))}
    rooms = {_room(module) for module in users}
    assert rooms == {"extract.feature_file", "extract.backbones", "data.output"}
    assert users & {module for module in users if "feature_file" not in module} == {
        "extract.backbones.tensors",
        "data.output.ours",  # which reads one attribute
    }


def test_light_modules():
    light = [module for module in OURS if module not in HEAVY and not module.endswith("__main__")]
    code = f"import sys, importlib\nfor name in {light}:\n    importlib.import_module(name)\n"
    code += (
        f"    if found := set(sys.modules) & {LIBRARIES}:\n        sys.exit(f'{{name}} imports {{found}}')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert not done.stderr
    assert done.returncode == 0


def test_no_pickle():
    for path in OURS.values():
        if path.parent.name == "testing":  # whether what may be sent to another process can be
            continue
        if path.name == "torch_file.py":  # whose unpickler knows four names
            continue
        assert not {"pickle", "dill", "cloudpickle"} & set(_imported(path)), path
        assert "joblib.load" not in path.read_text() and "joblib.dump" not in path.read_text(), path
        assert "allow_pickle=True" not in path.read_text(), path


def test_no_test_imports_another():
    for path in (ROOT / "tests").glob("*.py"):
        assert not [name for name in _imported(path) if name.startswith("test_")], path


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_the_public_names(package):
    module = importlib.import_module(package)
    public = {name for name in dir(module) if not name.startswith("_")}
    assert public == set(module.__all__)
    assert all(getattr(module, name) is not None for name in public)
    assert "__version__" in dir(module) or package == "classify"


def test_an_old_path_that_pages_named_says_the_new_one(monkeypatch):
    from classify import Detector

    monkeypatch.delitem(sys.modules, "classify.abstain", raising=False)  # it says so when it is imported
    with pytest.warns(FutureWarning, match="from classify import Detector"):
        from classify.abstain import Detector as old
    assert old is Detector


def test_the_architecture_page_names_every_room_and_what_it_imports():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    assert [place for place, _ in rows] == ORDER
    for place, imports in rows:
        package = place.split(".")[0]
        found = {
            _room(other)
            for module in OURS
            if _room(module) == place
            for other in _imported_of_ours(OURS[module])
        }
        own = {other.split(".")[1] for other in found - {place} if other.startswith(f"{package}.")}
        assert own == set(re.findall(r"\w+", imports)), place


def test_the_architecture_page_names_modules_that_are_there():
    named = set(re.findall(r"`((?:data|extract|classify)/[\w/]+\.py)`", PAGE))
    assert len(named) > 20
    assert {name for name in named if not (CODE / name).is_file()} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_what_benchmarks_import_of_ours_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in OURS:
            module = importlib.import_module(node.module)
            missing = [each.name for each in node.names if not hasattr(module, each.name)]
            assert not [name for name in missing if f"{node.module}.{name}" not in OURS]
