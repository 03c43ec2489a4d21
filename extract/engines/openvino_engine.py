"""OpenVINO on a CPU: near the limit of the machine's matrix product."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from data.machine import cpu
from data.text import counted
from extract.engines.conversion import converted_model
from extract.engines.engine import Engine, SimulatedError
from extract.model_files.core import cpu_core
from extract.model_files.openvino_graph import quiet_openvino
from extract.recipe import EngineInfo, Recipe

if TYPE_CHECKING:
    import openvino

_HINTS = {"float32": "f32", "bfloat16": "bf16"}  # newer CPUs would take bfloat16 where float32 is meant
_COMPUTE_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
_CHANNELS = 8
_SUMS = {
    True: "int8, sums of 32 bits, as by VNNI or AMX",
    False: "int8, sums of 16 bits that saturate, as without VNNI",
}
_PRODUCTS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")  # where the arithmetic is


class OpenVinoEngine(Engine):
    """Run the backbone with OpenVINO, one stream of inference for each thread.

    Parameters
    ----------
    recipe : Recipe
    threads : int

    Raises
    ------
    SimulatedError
        If the recipe says bfloat16, and this CPU does not compute it.
    """

    batch_size = 8

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self.ahead = threads
        core = cpu_core()
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if recipe.precision == "bfloat16" and not computes_bfloat16(capable, cpu().instruction_sets):
            raise _no_bfloat16()
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[recipe.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # engines of several processes would share the first cores
        }
        self._compiled = _compiled(core, recipe, options)
        self._free = [self._compiled.create_infer_request() for _ in range(threads + 1)]
        self._int8 = recipe.quantization == "int8"
        self._outputs = range(len(recipe.layers))
        self._one_alone = self._compiled.input(0).get_partial_shape()[0].is_static
        if self._one_alone:
            self.batch_size = 1

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        if self._one_alone and len(batch) > 1:
            singles = [batch[place : place + 1] for place in range(len(batch))]
            return lambda: [np.concatenate(rows) for rows in zip(*map(self, singles), strict=True)]
        request = self._free.pop()
        request.start_async([batch], share_inputs=True)

        def finish() -> list[np.ndarray]:
            request.wait()
            features = [request.get_output_tensor(number).data.copy() for number in self._outputs]
            self._free.append(request)
            return features

        return finish

    def describe(self) -> EngineInfo:
        version = quiet_openvino().__version__.split("-")[0]
        others = [("cpu", _cpu_told()), ("executed", self._executed)]
        if self._int8:
            others = [("arithmetic", int8_arithmetic()), *others]
        return EngineInfo("openvino", version, "CPU", tuple(others))

    @cached_property
    def _executed(self) -> str:
        """What really computes, as OpenVINO names it: this, not the CPU alone, decides the arithmetic."""
        operations = (each.get_rt_info() for each in self._compiled.get_runtime_model().get_ops())
        return executed(
            (info["layerType"].astype(str), info["primitiveType"].astype(str)) for info in operations
        )


@cache
def int8_arithmetic() -> str:
    """Return how OpenVINO adds up products of 8 bits on this CPU, found by eight of them.

    Without VNNI (or AMX) pairs of products are added up in 16 bits and saturate, so int8 features differ.
    Flags of the CPU do not tell, since `ONEDNN_MAX_CPU_ISA` may forbid what they promise.

    Examples
    --------
    >>> int8_arithmetic()[:14]
    'int8, sums of '
    """
    openvino = quiet_openvino()
    from openvino import opset8 as ops

    largest, factor = 255.0, 127
    images = ops.parameter([1, _CHANNELS, 1, 1], np.float32)
    ends = [np.float32(end) for end in (0, largest, 0, largest)]
    whole = ops.fake_quantize(images, *ends, levels=256)
    filters = ops.constant(np.full((_CHANNELS, _CHANNELS, 1, 1), factor, np.int8))
    weights = ops.multiply(ops.convert(filters, "f32"), np.float32(1))
    sums = ops.convolution(whole, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = cpu_core().compile_model(openvino.Model([sums], [images]), "CPU", options)
    (found,) = compiled([np.full((1, _CHANNELS, 1, 1), largest, np.float32)]).values()
    return _SUMS[float(found.flat[0]) == largest * factor * _CHANNELS]


def computes_bfloat16(capabilities: Iterable[str], instruction_sets: Iterable[str]) -> bool:
    """Tell whether a CPU computes in bfloat16, faster than in float32, and does not simulate it.

    Parameters
    ----------
    capabilities : iterable of str
        OpenVINO's ``OPTIMIZATION_CAPABILITIES``: they have BF16 also where AVX-512 simulates it.
    instruction_sets : iterable of str
        As `data.machine.Cpu` has them; none where the system does not say, as on ARM.

    Examples
    --------
    >>> computes_bfloat16(["FP32", "BF16"], ["avx512f", "avx512_vnni"])
    False
    >>> computes_bfloat16(["FP32", "BF16"], ["avx512f", "avx512_bf16"])
    True
    """
    known = set(instruction_sets)
    return "BF16" in capabilities and (not known or bool(known & _COMPUTE_BFLOAT16))


def executed(layers: Iterable[tuple[str, str]]) -> str:
    """Sum up the layers that multiply by the code that runs them, the most frequent first.

    Parameters
    ----------
    layers : iterable of (str, str)
        Type and ``primitiveType`` of each, as OpenVINO's runtime model has them.

    Examples
    --------
    >>> executed([("Convolution", "brgconv_avx512_f32"), ("Pooling", "jit_f32"), ("MatMul", "gemm_f32")])
    'brgconv_avx512_f32: 1 layer, gemm_f32: 1 layer'
    """
    found = Counter(code for kind, code in layers if kind in _PRODUCTS)
    return ", ".join(f"{code}: {counted(number, 'layer')}" for code, number in found.most_common())


def _cpu_told() -> str:
    return f"{cpu().model} ({' '.join(cpu().instruction_sets)})"


def _compiled(core: "openvino.Core", recipe: Recipe, options: dict) -> "openvino.CompiledModel":
    """Compile the backbone, which fails in bfloat16 where ``ONEDNN_MAX_CPU_ISA`` limits a CPU."""
    model = core.read_model(converted_model(recipe))
    try:
        return core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        if recipe.precision != "bfloat16":
            raise
        raise _no_bfloat16(", for which OpenVINO compiles none: is ONEDNN_MAX_CPU_ISA set?") from error


def _no_bfloat16(why: str = "") -> SimulatedError:
    return SimulatedError(
        "this CPU does not compute in bfloat16, and simulating it is slow",
        f"a CPU with the instruction set {' or '.join(sorted(_COMPUTE_BFLOAT16))}",
        _cpu_told() + why,
        "leave --precision out, or name the engine that simulates it: --engine keras",
    )
