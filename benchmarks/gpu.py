"""What does the Keras engine reach on this device, GPU or CPU? The whole table in eight minutes.

    python benchmarks/gpu.py [--minutes 8] [--keras-backend jax] [-o gpu.json]

From a source tree, without installation, network or images: weights are random, photographs are drawn. It
needs Keras with a backend (JAX, PyTorch or TensorFlow), h5py, scikit-learn, Typer, Rich and Pillow; without
simplejpeg Pillow decodes. The JSON is written anew after each figure, those that matter most first.
"""

import argparse
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def pillow_as_simplejpeg() -> ModuleType:
    """Return a module that decodes as `data.jpeg` asks simplejpeg to; pixels differ a little."""

    def decode_jpeg_header(data: bytes) -> tuple[int, int, str, str]:
        width, height = Image.open(io.BytesIO(data)).size
        return height, width, "YCbCr", "420"

    def decode_jpeg(data: bytes, colours: str, **how: object) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data)).convert(colours))

    module = ModuleType("simplejpeg")
    vars(module).update(decode_jpeg=decode_jpeg, decode_jpeg_header=decode_jpeg_header)
    return module


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Measure the Keras engine on this device.")
    parser.add_argument("--minutes", type=float, default=8, help="that it may take, whatever the device")
    parser.add_argument("--keras-backend", help="tensorflow, jax or torch; default: as for extract run")
    parser.add_argument("--backbone", default="xception")
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 299], help="sides in pixels")
    parser.add_argument("--seconds", type=float, default=5, help="of each figure, its compilation apart")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    return parser.parse_args()


if __name__ == "__main__":
    given = parsed()
    sys.path.insert(0, str(ROOT))
    decoder = "simplejpeg"
    try:
        import simplejpeg  # noqa: F401
    except ImportError:
        decoder, sys.modules["simplejpeg"] = "Pillow", pillow_as_simplejpeg()
    from gpu_table import measure_all

    measure_all(given, decoder)
