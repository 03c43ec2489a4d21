"""Matrix products: what a CPU can do in each arithmetic, which no backbone exceeds by much."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from extract.model_files.core import cpu_core
from extract.recipe import Recipe

if TYPE_CHECKING:
    import openvino

_SIDE = 2048  # of the square matrices
_REPEATS = 8
_LEVELS = 256  # of a value in int8


def matrix_product(recipe: Recipe, threads: int) -> tuple[str, Callable[[], float]]:
    """Return what multiplies matrices in the arithmetic of a recipe, and what measures it.

    Parameters
    ----------
    recipe : Recipe
    threads : int
        Of OpenVINO; numpy takes those that it has.

    Returns
    -------
    name : str
        As ``numpy float32``; numpy's also where a recipe has an arithmetic that no CPU computes in.
    measure : callable
        Returns operations a second, two for each multiplication and addition, in 1e9 (GFLOP/s).
    """
    arithmetic = recipe.quantization if recipe.quantization != "none" else recipe.precision
    if arithmetic not in ("bfloat16", "int8"):
        return "numpy float32", _by_numpy
    return f"OpenVINO {arithmetic}", _by_openvino(arithmetic, threads)


def _by_numpy() -> float:
    one = np.ones((_SIDE, _SIDE), np.float32)
    return _gflops(lambda: one @ one)


def _by_openvino(arithmetic: str, threads: int) -> Callable[[], float]:
    hint = "bf16" if arithmetic == "bfloat16" else "f32"
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = cpu_core().compile_model(_product(arithmetic), "CPU", options)
    request = compiled.create_infer_request()
    one = np.ones((_SIDE, _SIDE), np.float32)
    return lambda: _gflops(lambda: request.infer([one], share_inputs=True, share_outputs=True))


def _product(arithmetic: str) -> "openvino.Model":
    """Return the product of a matrix with a constant one, both quantized for int8."""
    from openvino import Model
    from openvino import opset13 as graph

    given = graph.parameter([_SIDE, _SIDE], np.float32)
    values = np.random.default_rng(0).integers(-127, 128, (_SIDE, _SIDE)).astype(np.int8)
    if arithmetic == "int8":
        low, high = np.float32(-1), np.float32(1)
        left = graph.fake_quantize(given, low, high, low, high, _LEVELS)
        scale = graph.constant(np.full((_SIDE, 1), 1 / 127, np.float32))
        right = graph.multiply(graph.convert(graph.constant(values), "f32"), scale)
    else:
        left, right = given, graph.constant(values.astype(np.float32) / 127)
    return Model([graph.matmul(left, right, False, True)], [given], "product")


def _gflops(multiply: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(_REPEATS):
        multiply()
    return _REPEATS * 2 * _SIDE**3 / (time.perf_counter() - started) / 1e9
