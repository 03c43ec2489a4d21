"""Tensors of PyTorch's files, read without running anything; a writer of that format is here."""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
from conftest import assert_four_parts

from data import HeadstartError
from extract.ported.torch_file import read_torch

_MAGIC = 0x1950A86A20F9469CFC6C


class FloatStorage:
    """Stands for PyTorch's class of that name."""


class LongStorage:
    """Stands for PyTorch's class of that name."""


def _rebuild_tensor_v2():
    """Stands for PyTorch's function of that name."""


class Tensor:
    """An array that is pickled as PyTorch pickles a tensor; `told` says what else the file shall have."""

    def __init__(self, values: np.ndarray, **told):
        self.values, self.told = values, told

    def __reduce__(self):
        strides = tuple(stride // self.values.itemsize for stride in self.values.strides)
        told = {"offset": 0, "shape": self.values.shape, "strides": strides} | self.told
        return _rebuild_tensor_v2, (
            self,
            told["offset"],
            told["shape"],
            told["strides"],
            False,
            OrderedDict(),
        )


class Writer(pickle.Pickler):
    """Pickles as PyTorch did: storages by name, their values behind."""

    def persistent_id(self, each):
        if not (isinstance(each, Tensor) and self.inside):
            self.inside = isinstance(each, tuple) and bool(each) and isinstance(each[0], Tensor)
            return None
        kind = FloatStorage if each.values.dtype.kind == "f" else LongStorage
        count = each.told.get("count", each.values.size)
        return "storage", kind, str(id(each)), "cpu", count, None

    inside = False


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """Let names of this module be those of PyTorch while a file is written."""
    module, utils = ModuleType("torch"), ModuleType("torch._utils")
    for each, place in ((FloatStorage, module), (LongStorage, module), (_rebuild_tensor_v2, utils)):
        monkeypatch.setattr(each, "__module__", place.__name__)
        setattr(place, each.__name__, each)
    module._utils = utils
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def written(path, state):
    buffer = io.BytesIO()
    for each in (_MAGIC, 1001, {"little_endian": True}):
        pickle.dump(each, buffer, protocol=2)
    Writer(buffer, protocol=2).dump(state)
    tensors = [each for each in state.values() if isinstance(each, Tensor)]
    pickle.dump([str(id(each)) for each in tensors], buffer, protocol=2)
    for each in tensors:
        values = np.asarray(each.values.base if each.values.base is not None else each.values)
        buffer.write(struct.pack("<q", values.size) + values.tobytes())
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


KERNEL = np.arange(24, dtype="<f4").reshape(2, 3, 2, 2)


def test_tensors_come_as_they_were_written_in_their_order(path):
    transposed = KERNEL.transpose(3, 1, 0, 2)
    state = OrderedDict(kernel=Tensor(KERNEL), count=Tensor(np.array(7, "<i8")), other=Tensor(transposed))
    found = read_torch(written(path, state))
    assert list(found) == ["kernel", "count", "other"]
    assert found["kernel"].dtype == np.float32 and found["count"].dtype == np.int64
    for name, values in (("kernel", KERNEL), ("count", 7), ("other", transposed)):
        np.testing.assert_array_equal(found[name], values)


class Evil:
    """Runs a function when it is unpickled by one that lets it."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize(
    "state", [{"a": Evil(eval, "1")}, {"a": Evil(exec, "")}, {"a": Evil(getattr, "", "join")}]
)
def test_other_names_are_refused_and_not_run(path, state):
    with pytest.raises(HeadstartError) as caught:
        read_torch(written(path, OrderedDict(state)))
    assert_four_parts(str(caught.value))
    assert "it asks for " in caught.value.received


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"shape": (2, 3, 2, 3), "strides": (18, 6, 3, 1)}, "leaves its values"),
        ({"offset": 1}, "leaves its values"),
        ({"offset": -1}, "leaves its values"),
        ({"strides": (-12, 4, 2, 1)}, "leaves its values"),
        ({"strides": (12, 4, 2)}, "argument"),
        ({"count": 1 << 60}, "more values than it holds"),
        ({"count": 23}, "leaves its values"),
        ({"count": 25}, "ends within a tensor"),
    ],
)
def test_tensors_that_leave_the_file_are_refused(path, told, reason):
    with pytest.raises(HeadstartError) as caught:
        read_torch(written(path, OrderedDict(a=Tensor(KERNEL, **told))))
    assert reason in caught.value.received


def test_values_that_are_no_tensors_are_refused(path):
    with pytest.raises(HeadstartError, match="no tensors"):
        read_torch(written(path, OrderedDict(a=1)))


def test_a_file_cut_anywhere_is_one_message(path):
    whole = written(path, OrderedDict(a=Tensor(KERNEL), b=Tensor(KERNEL[0].copy()))).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(HeadstartError) as caught:
            read_torch(path)
        assert_four_parts(str(caught.value))


def test_changed_bytes_give_tensors_or_one_message(path):
    whole = written(path, OrderedDict(a=Tensor(KERNEL), b=Tensor(KERNEL[0].copy()))).read_bytes()
    generator = np.random.default_rng(0)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] = generator.integers(256)
        path.write_bytes(changed)
        try:
            found = read_torch(path)
        except HeadstartError as error:
            assert_four_parts(str(error))
        else:
            assert all(isinstance(each, np.ndarray) for each in found.values())
