"""One contract for every engine."""

import fnmatch
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import assert_four_parts
from contracts import EngineContract, drawn_pixels

from data import HeadstartError, open_source
from data.machine import Cpu, cpu
from extract import FeatureFile, Options, Recipe, extract
from extract.cluster.replica import versions
from extract.engines import conversion as converted
from extract.engines import openvino_engine, runtime
from extract.engines.engine import (
    ENGINES,
    Engine,
    EngineEntry,
    chosen_engine,
    cpu_engine,
    engine_help,
    makers,
    open_engine,
    values_help,
)
from extract.engines.probe import check_probes, probe_image, relative_difference
from extract.recipe import EngineInfo, Probe

BFLOAT16 = {"avx512_bf16", "amx_bf16"} & set(cpu().instruction_sets)


@pytest.fixture(scope="module")
def pixels():
    return drawn_pixels()


class TestOpenVino(EngineContract):
    name = "openvino"


class TestKeras(EngineContract):
    """On the backend of this process."""

    name = "keras"


def test_unknown_layer_and_engine_list_the_nearest(tiny_recipe):
    recipe = Recipe("mobilenet", tiny_recipe.weights, ("conv_pw_3_rel",), image_size=(32, 32))
    with pytest.raises(HeadstartError, match="conv_pw_3_relu"):
        open_engine("keras", recipe)
    with pytest.raises(HeadstartError, match="expected: auto, keras, openvino"):
        open_engine("kera", tiny_recipe)


def test_layers_keep_their_order_whatever_keras_calls_their_tensors(tiny_recipe):
    """OpenVINO sorts outputs by these names, and Keras numbers them: 1000 comes before 999."""
    layers = ("conv_pw_3_relu", "avg_pool", "conv1_relu")
    outputs = converted.float_model(replace(tiny_recipe, layers=layers)).outputs
    assert [min(output.get_names()) for output in outputs] == ["layer_0000", "layer_0001", "layer_0002"]
    assert [output.get_partial_shape()[1].get_length() for output in outputs] == [128, 1024, 32]


def test_engines_agree(tiny_recipe, pixels):
    images = np.concatenate([pixels, probe_image((32, 32))[np.newaxis]])
    (keras,), (openvino,) = (open_engine(name, tiny_recipe)(images) for name in ("keras", "openvino"))
    assert relative_difference(openvino, keras) < 1e-4


def test_openvino_gives_a_row_the_same_bytes_in_any_batch(tiny_recipe, pixels):
    engine = open_engine("openvino", tiny_recipe)
    whole = engine(pixels)[0]
    assert np.array_equal(np.concatenate([engine(pixels[:2])[0], engine(pixels[2:])[0]]), whole)


def test_a_converted_model_is_kept_and_a_damaged_one_converted_again(tiny_recipe, pixels, monkeypatch):
    expected = open_engine("openvino", tiny_recipe)(pixels)[0]
    convert, calls = converted.float_model, []
    monkeypatch.setattr(converted, "float_model", lambda recipe: calls.append(recipe) or convert(recipe))
    open_engine("openvino", tiny_recipe)
    assert calls == []
    weights = converted.model_path(tiny_recipe).with_suffix(".bin")
    damaged = bytearray(weights.read_bytes())
    damaged[1000] ^= 1
    weights.write_bytes(damaged)
    assert np.array_equal(open_engine("openvino", tiny_recipe)(pixels)[0], expected)
    assert calls == [tiny_recipe]


def test_a_signal_is_heard_after_cores_have_come_and_gone():
    """OpenVINO would put back a stack for signals that went with the first one: a crash."""
    code = """
import signal
from extract.model_files.core import cpu_core
signal.signal(signal.SIGINT, lambda *_: print("heard"))
first = cpu_core()
second = cpu_core()
del first
del second
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_telemetry_is_as_if_not_installed():
    code = """
import sys
from extract.model_files.openvino_graph import without_telemetry
with without_telemetry():
    import openvino.tools.ovc.telemetry_utils as utils
print(utils.tm.__name__, "openvino_telemetry" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]


@pytest.mark.parametrize(("precision", "auto"), [("float16", "keras"), ("bfloat16", "openvino")])
def test_reduced_precision_is_near(precision, auto, tiny_recipe, pixels):
    recipe = replace(tiny_recipe, precision=precision)
    assert chosen_engine(recipe) == cpu_engine(recipe) == auto
    assert_near(*(open_engine("keras", each)(pixels) for each in (tiny_recipe, recipe)))


def test_openvino_does_not_compute_float16(tiny_recipe):
    with pytest.raises(HeadstartError, match="cannot compute with precision"):
        open_engine("openvino", replace(tiny_recipe, precision="float16"))


def assert_near(exact, near):
    """Check that one layer's features are near exact ones, and not the same."""
    (exact,), (near,) = exact, near
    assert near.dtype == np.float32
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert 0.99 < cosines.min() < 1 - 1e-8


@pytest.mark.skipif(not BFLOAT16, reason="this CPU has no bfloat16")
def test_openvino_computes_bfloat16_with_the_model_of_float32(tiny_recipe, pixels, tmp_path):
    recipe = replace(tiny_recipe, precision="bfloat16")
    assert converted.model_path(recipe) == converted.model_path(tiny_recipe)
    exact, near = (open_engine("openvino", each) for each in (tiny_recipe, recipe))
    assert_near(exact(pixels), near(pixels))
    assert [dict(each.describe().others)["executed"].count("bf16") > 0 for each in (exact, near)] == [0, 1]


@pytest.mark.skipif(not BFLOAT16, reason="this CPU has no bfloat16")
def test_bfloat16_of_one_engine_is_continued_by_another_but_no_other_backbone(tiny_recipe):
    recipe = replace(tiny_recipe, precision="bfloat16")
    openvino, keras = (open_engine(name, recipe) for name in ("openvino", "keras"))
    features = check_probes(keras, recipe, [])
    check_probes(openvino, recipe, [Probe("photos.h5", keras.describe(), {"avg_pool": features[0]})])
    other = Probe("photos.h5", keras.describe(), {"avg_pool": features[0][::-1]})
    with pytest.raises(HeadstartError, match="other features than those in photos"):
        check_probes(openvino, recipe, [other])


def test_where_bfloat16_would_be_simulated_openvino_says_so(tiny_recipe, monkeypatch):
    old = Cpu("Xeon of 2019", ("avx2", "avx512f", "avx512_vnni"))
    monkeypatch.setattr(openvino_engine, "cpu", lambda: old)
    with pytest.raises(HeadstartError, match="does not compute in bfloat16") as caught:
        open_engine("auto", replace(tiny_recipe, precision="bfloat16"))
    assert_four_parts(str(caught.value))
    assert "Xeon of 2019 (avx2 avx512f avx512_vnni)" in caught.value.received
    assert "--engine keras" in caught.value.todo
    simulating = open_engine("auto", replace(tiny_recipe, precision="bfloat16"), simulate=True)
    assert simulating.describe().engine == "keras"


def test_where_openvino_cannot_compile_bfloat16_it_says_so(tiny_recipe, monkeypatch):
    def fails(*_):
        raise RuntimeError("Supported primitive descriptors list is empty for node: MaxPool_268")

    open_engine("openvino", tiny_recipe)  # converted from here on
    monkeypatch.setattr("openvino.Core.compile_model", fails)
    with pytest.raises(HeadstartError, match="does not compute in bfloat16"):
        open_engine("openvino", replace(tiny_recipe, precision="bfloat16"))
    with pytest.raises(RuntimeError, match="MaxPool"):
        open_engine("openvino", tiny_recipe)


def test_openvino_names_the_cpu_and_what_it_executed(tiny_recipe):
    others = dict(open_engine("openvino", tiny_recipe).describe().others)
    assert cpu().model in others["cpu"]
    layers = [int(each.split()[-2]) for each in others["executed"].split(", ")]
    assert sum(layers) == 27  # convolutions of MobileNet


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("tensorflow", [False, True])
def test_a_model_kept_under_a_name_with_tensorflow_in_it_is_taken(
    tensorflow, int8, tiny_recipe, monkeypatch, tmp_path
):
    """Names once had TensorFlow's version; models are found with TensorFlow and without."""
    kept = converted.converted_model(tiny_recipe)
    recipe = replace(tiny_recipe, quantization="int8", calibration="ab") if int8 else tiny_recipe
    versions = {name: version(name) for name in ("keras", "openvino")} | {"tensorflow": "2.21.0"}
    key = hashlib.sha256(json.dumps([recipe.key, versions], sort_keys=True).encode()).hexdigest()
    earlier = tmp_path / "openvino" / f"{key[:32]}.xml"
    earlier.parent.mkdir()
    for suffix in (".bin", ".xml", ".json"):
        shutil.copyfile(kept.with_suffix(suffix), earlier.with_suffix(suffix))
    monkeypatch.setattr(converted, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(converted, "version", installed({"tensorflow": "2.21.0"} if tensorflow else {}))
    assert converted.converted_model(recipe) == earlier


def installed(tensorflow: dict[str, str]):
    """Return `importlib.metadata.version` of an environment with this TensorFlow, or none."""

    def found(name: str) -> str:
        if name == "tensorflow" and not tensorflow:
            raise PackageNotFoundError(name)
        return tensorflow.get(name) or version(name)

    return found


def test_auto_takes_keras_on_a_gpu_and_openvino_elsewhere(tiny_recipe, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(runtime, "has_gpu_device", lambda: True)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {})
    for gpus, engine in ([], "openvino"), (["GPU:0"], "keras"):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind, gpus=gpus: gpus)
        assert chosen_engine(tiny_recipe) == engine


@pytest.mark.parametrize(
    ("files", "variables", "seen"),
    [
        ([], {}, False),
        (["/dev/nvidia0"], {}, True),
        (["/dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": "1"}, True),
        (["/dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": ""}, False),
        (["/dev/nvidia0"], {"CUDA_VISIBLE_DEVICES": "-1,0"}, False),
        (["/dev/kfd"], {"CUDA_VISIBLE_DEVICES": ""}, True),
        (["/dev/kfd"], {"HIP_VISIBLE_DEVICES": "-1"}, False),
        (["/dev/nvidiactl", "/dev/dri"], {}, False),
    ],
)
def test_device_files_tell_whether_there_is_a_gpu(files, variables, seen, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime, "glob", SimpleNamespace(glob=lambda path: fnmatch.filter(files, path)))
    monkeypatch.setattr(sys, "platform", "linux")
    assert runtime.has_gpu_device() is seen
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime.has_gpu_device()


def test_auto_imports_no_backend_where_there_is_no_gpu():
    code = """
import sys
import extract.engines.runtime as runtime
from extract import Recipe
from extract.engines.engine import chosen_engine
runtime.has_gpu_device = lambda: False
print(chosen_engine(Recipe("mobilenet", "00")), {"tensorflow", "jax", "torch", "keras"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino", "set()"]


@pytest.fixture
def short_of_memory(tiny_recipe, monkeypatch):
    """A Keras engine whose device takes no more than some images at once."""

    def make(most: int):
        engine = open_engine("keras", tiny_recipe)
        start = engine._runtime.start

        def limited(batch):
            if len(batch) > most:
                raise MemoryError("out of memory")
            return start(batch)

        monkeypatch.setattr(engine._runtime, "start", limited)
        monkeypatch.setattr(engine._runtime, "is_out_of_memory", lambda error: isinstance(error, MemoryError))
        return engine

    return make


@pytest.mark.parametrize("fixed", [False, True])
def test_out_of_memory_halves_the_batch_and_says_so(short_of_memory, pixels, tiny_recipe, caplog, fixed):
    engine = short_of_memory(3)
    engine._runtime.fixed = fixed
    (features,) = engine(pixels)
    np.testing.assert_allclose(features, open_engine("keras", tiny_recipe)(pixels)[0], atol=1e-5)
    assert engine.batch_size == 2
    assert "batches of 2 images from now on" in caplog.text


def test_no_memory_for_one_image_is_told(short_of_memory, pixels):
    with pytest.raises(HeadstartError) as caught:
        short_of_memory(0)(pixels)
    assert_four_parts(str(caught.value))


def test_each_backend_knows_its_own_error_of_memory():
    import tensorflow as tf

    from extract.engines.on_jax import OnJax
    from extract.engines.on_tensorflow import OnTensorFlow

    jax = pytest.importorskip("jax")
    short = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert OnTensorFlow.is_out_of_memory(short) and not OnTensorFlow.is_out_of_memory(ValueError())
    short = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")
    assert OnJax.is_out_of_memory(short)
    assert not OnJax.is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: other"))


def test_a_fixed_batch_is_filled_up_and_never_another(tiny_recipe, pixels, monkeypatch):
    engine, sizes = open_engine("keras", tiny_recipe), []
    engine._runtime.fixed, engine.batch_size, start = True, 4, engine._runtime.start
    monkeypatch.setattr(engine._runtime, "start", lambda batch: sizes.append(len(batch)) or start(batch))
    assert engine(pixels)[0].shape == (9, 1024) and engine(pixels[:1])[0].shape == (1, 1024)
    assert sizes == [4, 4, 4, 4]


def test_one_of_several_gpus_is_used_and_told(tiny_recipe, monkeypatch, caplog):
    import tensorflow as tf

    gpus, taken = ["GPU:0", "GPU:1"], []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda threads: None)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda device, kind: taken.append(device))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda device, on: taken.append(device))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": device})
    caplog.set_level("INFO", "headstart.engines")
    assert open_engine("keras", tiny_recipe, 1).describe().device == "GPU:0"
    assert taken == ["GPU:0", "GPU:0"]
    assert "2 GPUs are visible, and one is used: --runner ray --num-gpus 1" in caplog.text


class PixelEngine(Engine):
    """An engine of a table entry and this class alone: features are sums of pixels."""

    def __init__(self, recipe, threads):
        self.batch_size, self.ahead, self._layers = 4, 0, len(recipe.layers)

    def start(self, batch):
        return lambda: [batch.sum(axis=(1, 2)).astype(np.float32)] * self._layers

    def describe(self):
        return EngineInfo("pixels", np.__version__, "CPU")


@pytest.fixture
def pixel_engine(monkeypatch):
    entry = EngineEntry(f"{__name__}:PixelEngine", ("numpy",), ("float32", "float16"), ("none", "int8"))
    monkeypatch.setitem(ENGINES, "pixels", entry)


def test_an_engine_is_one_entry_and_one_class(pixel_engine, tiny_recipe, images, tmp_path):
    """It is opened, chosen where it alone computes a recipe, recorded, and told on a cluster."""
    report = extract(open_source(images), tiny_recipe, tmp_path / "out.h5", Options(engine="pixels"))
    file = FeatureFile(tmp_path / "out.h5")
    assert (report.computed, file.features("avg_pool").shape) == (16, (16, 3))
    assert file.engine(0) == EngineInfo("pixels", np.__version__, "CPU")
    quantized = replace(tiny_recipe, precision="float16", quantization="int8", calibration="ab")
    assert chosen_engine(quantized) == cpu_engine(quantized) == "pixels"
    assert cpu_engine(tiny_recipe) == "openvino"
    assert "numpy" in makers() and versions()["numpy"] == np.__version__


def test_help_names_every_engine(pixel_engine):
    assert engine_help() == "auto, openvino, keras or pixels."
    assert values_help("precision", "; ") == (
        "float32; bfloat16 with openvino, float16 or bfloat16 with keras, float16 with pixels."
    )
    assert values_help("quantization", ", or ") == "none, or int8 with openvino or pixels."
    with pytest.raises(HeadstartError, match="keras, openvino, pixels"):
        open_engine("other", Recipe("mobilenet", "00"))


def test_probe_image_is_frozen():
    """Its feature is stored in files; should the image change, every file would seem to have drifted."""
    image = probe_image((150, 150))
    assert (image.shape, image.dtype) == ((150, 150, 3), np.float32)
    assert (image.min(), image.max(), image.sum(dtype=np.float64)) == (0, 255, 8565115)
    assert image[149, 3].tolist() == [221, 250, 23]
