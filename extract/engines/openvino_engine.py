"""OpenVINO on a CPU: near the limit of the machine's matrix product."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np

from data.errors import HeadstartError
from data.machine import cpu
from data.text import counted
from extract.engines.conversion import converted_model, quiet_openvino
from extract.engines.engine import Engine
from extract.recipe import EngineInfo, Recipe

_HINTS = {"float32": "f32", "bfloat16": "bf16"}  # newer CPUs would take bfloat16 where float32 is meant
_COMPUTE_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
_PRODUCTS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")  # where the arithmetic is


class OpenVinoEngine(Engine):
    """Run the backbone with OpenVINO, one stream of inference for each thread.

    Parameters
    ----------
    recipe : Recipe
    threads : int

    Raises
    ------
    HeadstartError
        If the recipe says bfloat16, and this CPU does not compute it.
    """

    batch_size = 8

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self.ahead = threads
        core = quiet_openvino().Core()
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if recipe.precision == "bfloat16" and not computes_bfloat16(capable, cpu().instruction_sets):
            raise _no_bfloat16()
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[recipe.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # engines of several processes would share the first cores
        }
        self._compiled = core.compile_model(core.read_model(converted_model(recipe)), "CPU", options)
        self._free = [self._compiled.create_infer_request() for _ in range(threads + 1)]
        self._outputs = range(len(recipe.layers))

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
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
        return EngineInfo("openvino", version, "CPU", (("cpu", _cpu_told()), ("executed", self._executed)))

    @cached_property
    def _executed(self) -> str:
        """What really computes, as OpenVINO names it: this, not the CPU alone, decides the arithmetic."""
        operations = (each.get_rt_info() for each in self._compiled.get_runtime_model().get_ops())
        return executed(
            (info["layerType"].astype(str), info["primitiveType"].astype(str)) for info in operations
        )


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


def _no_bfloat16() -> HeadstartError:
    return HeadstartError(
        "this CPU does not compute in bfloat16, and simulating it is slow",
        f"a CPU with the instruction set {' or '.join(sorted(_COMPUTE_BFLOAT16))}",
        _cpu_told(),
        "leave --precision out, or name the engine that simulates it: --engine keras",
    )
