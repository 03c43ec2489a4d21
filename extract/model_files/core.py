"""OpenVINO's core for this CPU, which leaves signals as they were."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from extract.model_files.openvino_graph import quiet_openvino

if TYPE_CHECKING:
    import openvino


class _Stack(ctypes.Structure):
    """Linux' ``stack_t``."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def cpu_core() -> "openvino.Core":
    """Return a core that has loaded the plugin for CPUs, and compiles for them."""
    with same_signal_stack():
        core = quiet_openvino().Core()
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads it
    return core


@contextmanager
def same_signal_stack() -> Iterator[None]:
    """Give this thread the stack for signals back that it had: none, as a rule.

    OpenVINO's plugin for CPUs sets one, which it frees with its core. Of two cores, the second one would
    put back that of the first, which may be gone: the next signal, as Ctrl-C, would be a crash.

    Examples
    --------
    >>> with same_signal_stack():
    ...     _ = quiet_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
