"""Arrays of ``.npy`` bytes are the pixels that NumPy reads, in any thread."""

import gc
import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data.npy import is_npy, npy_pixels
from data.sources.arrays import npy_bytes

TYPES = ["u1", "i1", "<u2", ">u2", "<i4", ">i8", "<f2", "<f4", ">f8"]
SHAPES = [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4), (1, 1), (123456, 1)]


def saved(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TYPES)
def test_pixels_are_those_that_numpy_reads(dtype, shape):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    expected = (array if array.ndim == 3 else array[..., np.newaxis]).astype(np.float32)
    for data in (saved(array), saved(np.asfortranarray(array)), saved(array, (2, 0)), npy_bytes(array)):
        assert is_npy(data)
        np.testing.assert_array_equal(npy_pixels(data), expected)
        np.testing.assert_array_equal(np.load(io.BytesIO(data)), array)


@pytest.mark.parametrize(
    "data",
    [
        saved(np.zeros((4, 4), [("r", "u1"), ("g", "u1")])),
        saved(np.zeros((4, 4), np.uint8), (3, 0)),
        saved(np.zeros((4, 4), np.uint8)).replace(b"(4, 4)", b"(4, x)"),
        saved(np.zeros((4, 4), np.uint8)).replace(b"'|u1'", b"'|u0'"),
        saved(np.zeros((4, 4), np.uint8)).replace(b"'|u1'", b"'|q9'"),
        saved(np.zeros((4, 4), np.uint8)).replace(b"(4, 4)", b"(4 4) "),
        saved(np.zeros((4, 4), np.uint8))[:60],
        saved(np.zeros((4, 4), np.uint8))[:9],
        b"\x93NUMPY",
        b"",
    ],
)
def test_what_is_no_array_of_an_image_is_refused(data):
    with pytest.raises(ValueError, match=r"\.npy"):
        npy_pixels(data)


def test_true_and_false_are_no_pixels():
    with pytest.raises(ValueError, match=r"an array of bool: give array.astype\('uint8'\) \* 255"):
        npy_pixels(saved(np.ones((4, 4), bool)))


class Waits:
    """A cycle of two is collected in the midst of whatever makes objects, and lets other threads go on."""

    def __init__(self):
        self.other = None

    def __del__(self):
        time.sleep(0)


def test_threads_that_read_at_a_time_do_not_fail():
    data, known = npy_bytes(np.full((2, 2, 3), 51, np.uint8)), gc.get_threshold()

    def read(_):
        for _ in range(500):
            one, two = Waits(), Waits()
            one.other, two.other = two, one
            assert npy_pixels(data).max() == 51

    gc.set_threshold(50, 2, 2)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
    finally:
        gc.set_threshold(*known)


def test_nothing_parses_python_where_images_are_read(monkeypatch):
    data = npy_bytes(np.full((2, 2, 3), 51, np.uint8))
    monkeypatch.setattr("ast.literal_eval", lambda text: pytest.fail("parsed as Python"))
    with pytest.raises(pytest.fail.Exception):
        np.load(io.BytesIO(data))
    assert npy_pixels(data).max() == 51
