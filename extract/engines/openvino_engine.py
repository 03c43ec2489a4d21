"""OpenVINO on a CPU: near the limit of the machine's matrix product."""

from collections.abc import Callable

import numpy as np

from extract.engines.conversion import converted_model, quiet_openvino
from extract.engines.engine import Engine
from extract.recipe import EngineInfo, Recipe


class OpenVinoEngine(Engine):
    """Run the backbone with OpenVINO, one stream of inference for each thread.

    Parameters
    ----------
    recipe : Recipe
    threads : int
    """

    batch_size = 8

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self.ahead = threads
        core = quiet_openvino().Core()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # newer CPUs would take bfloat16
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # engines of several processes would share the first cores
        }
        compiled = core.compile_model(core.read_model(converted_model(recipe)), "CPU", options)
        self._free = [compiled.create_infer_request() for _ in range(threads + 1)]
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
        return EngineInfo("openvino", version, "CPU")
