"""The Keras engine on PyTorch."""

from typing import TYPE_CHECKING

import numpy as np

from extract.engines.runtime import Runtime

if TYPE_CHECKING:
    import keras


class OnTorch(Runtime):
    """Keras' layers one after the other; on a GPU each is queued while the one before computes."""

    fixed = False

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.gpus = self.seen()
        self.batch_size = 128 if self.gpus else 32

    @staticmethod
    def seen() -> list[str]:
        import torch

        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]

    def compile(self, model: "keras.Model", precision: str) -> None:
        self._model = model

    def start(self, pixels: np.ndarray) -> list:
        import torch

        batch = torch.from_numpy(pixels)
        if self.gpus:
            batch = batch.pin_memory().to("cuda", non_blocking=True)
        with torch.inference_mode():
            features = self._model(batch, training=False)
        return features if isinstance(features, list) else [features]

    def fetch(self, started: list) -> list[np.ndarray]:
        return [features.float().cpu().numpy() for features in started]

    @staticmethod
    def is_out_of_memory(error: Exception) -> bool:
        import torch

        return isinstance(error, torch.OutOfMemoryError)
