"""The formats of exported models: how each is written, and read by its user."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classify.bundle import openvino_file


def _with_keras(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda images: model.predict(images, verbose=0)


def _with_tensorflow(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda images: model.serve(images).numpy()


def _with_litert(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(str(path))
    run = interpreter.get_signature_runner()
    return lambda images: next(iter(run(images=images).values()))


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    suffix : str
        Of its name; empty for a folder.
    name : str
        In `keras.Model.export`; empty for Keras' own `save`.
    run : callable
        Reads a file and returns a callable from images to probabilities, as its user does who knows `note`.
    modules : tuple of str
        Packages that Headstart does not bring by itself.
    extra : str
        Of Headstart, which brings them.
    note : str
        What its user has to know.
    by_default : callable or None
        As `run`, by a user who does not know `note`.
    """

    suffix: str
    name: str
    run: Callable[[Path], Callable[[np.ndarray], np.ndarray]]
    modules: tuple[str, ...] = ()
    extra: str = ""
    note: str = ""
    by_default: Callable[[Path], Callable[[np.ndarray], np.ndarray]] | None = None


IN_BFLOAT16 = (
    "OpenVINO computes this model in bfloat16 on CPUs that have it, and its probabilities then differ; "
    "INFERENCE_PRECISION_HINT=f32 keeps them"
)

FORMATS = {
    "keras": Format(".keras", "", _with_keras),
    "saved_model": Format("", "tf_saved_model", _with_tensorflow),
    "onnx": Format(
        ".onnx",
        "onnx",
        openvino_file.run_in_float32,
        ("tf2onnx", "onnx"),
        "onnx",
        IN_BFLOAT16,
        openvino_file.run,
    ),
    "openvino": Format(".xml", "openvino", openvino_file.run_in_float32, by_default=openvino_file.run),
    "litert": Format(".tflite", "litert", _with_litert),
}
