"""The benchmark for a GPU runs on a machine with little more than Keras and JAX, and in its time."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("jax", reason="needs the extra jax")
MISSING = ("tensorflow", "tensorflow_datasets", "openvino", "simplejpeg", "skops", "matplotlib", "ray")


@pytest.fixture
def run(tmp_path, cache):
    """Run the script from the source tree, where much is not installed."""
    blocked = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
    (tmp_path / "sitecustomize.py").write_text(blocked)

    def run(*words):
        return subprocess.run(
            [sys.executable, ROOT / "benchmarks" / "gpu.py", *map(str, words)],
            env={"PYTHONPATH": str(tmp_path), "KERAS_HOME": str(tmp_path), "PATH": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_without_time_it_ends_with_what_there_is(run, tmp_path):
    done = run("--minutes", 0.2, "--backbone", "mobilenet", "--sizes", 32, "-o", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "gpu.json").read_text())
    assert (values["figures"], values["photos"]["decoder"]) == ([], "Pillow")


@pytest.mark.slow
def test_every_arm_is_measured(run, tmp_path):
    words = ("--seconds", 0.1, "--backbone", "mobilenet", "--sizes", 32, "-o", tmp_path / "gpu.json")
    done = run("--minutes", 8, *words)
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "gpu.json").read_text())
    assert values["finished"] and values["left_out"] == []
    assert {figure["arm"] for figure in values["figures"]} == {
        "engine",
        "on_device",
        "decode",
        "pipeline",
        "keras_predict",
    }
    assert all(figure["images_per_second"] > 0 for figure in values["figures"])
