"""Runs a module as ``python -m`` does, in a process that ends with the one that started it."""

import ctypes
import os
import runpy
import signal
import sys

from data.interrupt import end_signal

_PR_SET_PDEATHSIG = 1  # of Linux' prctl; elsewhere the process goes on alone


def main() -> None:
    """Run the module that the first two words name: the process to end with, and the module."""
    parent, module = sys.argv[1:3]
    if sys.platform == "linux":
        if (ends := end_signal()) is not signal.SIGINT:
            signal.signal(ends, signal.default_int_handler)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ends)
        if os.getppid() != int(parent):  # it has ended already
            sys.exit(128 + signal.SIGINT)
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
