"""JPEG files to pixels, bit for bit as TensorFlow decodes them, and without it."""

import numpy as np
from simplejpeg import decode_jpeg, decode_jpeg_header

from data.scratch import scratch

_ALIKE = {"Gray": ("GRAY", ("Gray",)), "YCbCr": ("RGB", ("444", "422", "420"))}

_EIGHTHS = 8  # sides are divided by steps of one: those of a smaller image may stay as long by several


def jpeg_pixels(data: bytes, ratio: int = 1) -> np.ndarray:
    """Decode a JPEG file as ``tf.io.decode_jpeg(data, channels=0, ratio=ratio)`` does.

    Both use libjpeg-turbo with its fast integer DCT, and interpolate colours alike.

    Parameters
    ----------
    data : bytes
    ratio : int
        1, 2, 4 or 8: by how much the sides are divided.

    Returns
    -------
    ndarray of uint8, shape (H, W, 1) or (H, W, 3)
        On memory that the next call in this thread writes to.

    Raises
    ------
    ValueError
        If the file is damaged, or of colours or a subsampling of which TensorFlow may see other pixels.
    """
    height, width, space, subsampling = decode_jpeg_header(data)
    colours, alike = _ALIKE.get(space, ("", ()))
    if subsampling not in alike:
        raise ValueError(f"a JPEG file of {space} colours, subsampling {subsampling}")
    if ratio > 1 and max(height, width) < _EIGHTHS:
        raise ValueError(f"a JPEG file of {height}x{width} pixels that is to be divided")
    shape = -(-height // ratio), -(-width // ratio), 1 if colours == "GRAY" else 3
    least = {"min_height": shape[0], "min_width": shape[1]} if ratio > 1 else {}
    return decode_jpeg(data, colours, fastdct=True, buffer=scratch("jpeg", shape, np.uint8), **least)
