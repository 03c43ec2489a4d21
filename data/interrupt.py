"""Ctrl-C and SIGTERM end a command: heard also where a library swallows them, with a limit to the waiting."""

import atexit
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from data.errors import HeadstartError

SECONDS = 5  # for a command to end in order, which takes one as a rule
_SETTLED = 0.5  # seconds after which another Ctrl-C is a second one of the user's
_PASSED_ON = "KeyboardInterrupt: <EMPTY MESSAGE>"  # in what pybind11 makes of one that C++ code caught
_SWALLOWED = 255  # the number of no signal
_pipe: int | None = None  # to the thread that watches; None where nobody listens
_settled = False
_heard = 0  # the first signal that was; 0 for none


@contextmanager
def interruptible() -> Iterator[None]:
    """End this process with 130 after SIGINT, 143 after SIGTERM: in order, after `SECONDS`, or at a second.

    Python hears a signal between two steps of its own, so not while a library computes for long; and
    what it raises then vanishes in callbacks that cannot raise, as those of the import system. A thread
    hears it at once; an interrupt that vanished is sent again. For the main program alone, from its
    first line; where SIGINT is ignored (nohup), it stays so, and SIGTERM is heard.

    Examples
    --------
    >>> with interruptible():  # doctest: +SKIP
    ...     app()
    """
    _open_closed()
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_term)
        if _signals():
            _listen()
        yield
    except BaseException as error:
        if interrupt_of(error) is None:
            raise
        if not _settled:
            settle()
            sys.stderr.write("interrupted\n")
        _leave()


def _open_closed() -> None:
    """Let a stream that was closed before we began (``>&-``) go nowhere: a file would get its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _leave() -> None:
    """End with 130 once the exit handlers have run, without waiting for the threads of libraries.

    `sys.exit` would sometimes end by the signal itself: Python notes an interrupt of any `eval` as unhandled.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _end_children()
    os._exit(_code())


def _signals() -> list[signal.Signals]:
    """Return the signals that interrupt this process."""
    both = (signal.SIGINT, signal.SIGTERM)
    return [each for each in both if signal.getsignal(each) in (signal.default_int_handler, _on_term)]


def end_signal() -> signal.Signals:
    """Return the signal that ends what this process starts: SIGTERM where SIGINT is ignored (``nohup``).

    Examples
    --------
    >>> end_signal() in (signal.SIGINT, signal.SIGTERM)
    True
    """
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT


def _on_term(number: int, _: object) -> None:
    global _heard
    _heard = _heard or number
    raise KeyboardInterrupt


def _code() -> int:
    return 128 + (_heard or signal.SIGINT)


def interrupt_of(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interrupt that an error is, or was made of: some callers turn it into their own.

    C++ code can lose it and stumble later: once Ctrl-C was heard, whatever else is raised is its end.

    Examples
    --------
    >>> interrupt_of(ValueError("no interrupt")) is None
    True
    >>> interrupt_of(RuntimeError("Const with a message: KeyboardInterrupt: <EMPTY MESSAGE>"))
    KeyboardInterrupt()
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt):
        if _PASSED_ON in str(found):
            return KeyboardInterrupt()
        found = found.__cause__ or found.__context__
    told = isinstance(error, HeadstartError) or hasattr(
        error, "exit_code"
    )  # an error of ours, or Typer's end
    stumbled = found is None and isinstance(error, Exception) and not told
    return KeyboardInterrupt() if stumbled and _was_heard() else found


def _was_heard() -> bool:
    if _pipe is not None:
        time.sleep(0.1)  # until the thread that listens has run
    return bool(_heard)


def settle() -> None:
    """Let no other signal disturb the end that has begun; the limit stays."""
    global _settled
    if _pipe is not None:
        for each in _signals():
            signal.signal(each, signal.SIG_IGN)
        _settled = True


def _listen() -> None:
    global _pipe
    reading, _pipe = os.pipe()
    os.set_blocking(_pipe, False)
    signal.set_wakeup_fd(_pipe, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_as_before)
    threading.Thread(target=_watch, args=(reading, threading.get_ident()), daemon=True).start()
    tell = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if _on_lost(lost) else tell(lost)


def _as_before() -> None:
    """Let a fork not hear: the pipe is its parent's, and who ends it sends SIGTERM."""
    signal.set_wakeup_fd(-1)
    if signal.getsignal(signal.SIGTERM) is _on_term:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_lost(lost: "sys.UnraisableHookArgs") -> bool:
    """Have an interrupt sent again that was raised where nothing can be; tell whether it was one."""
    is_one = issubclass(lost.exc_type, KeyboardInterrupt)
    if is_one and _pipe is not None:
        os.write(_pipe, bytes([_SWALLOWED]))
    return is_one


def _watch(reading: int, main: int) -> None:
    """Wait for what the system or `_on_lost` writes, and end the process when it is time."""
    global _heard
    first, sent, signals = math.inf, 0, _signals()  # until the first interrupt
    while True:
        left = None if first == math.inf else max(0, first + SECONDS - time.monotonic())
        if not select.select([reading], [], [], left)[0]:
            _end(f"interrupted; ended without more ado, since {SECONDS} s did not do")
        for number in os.read(reading, 1):
            if number == _SWALLOWED:
                time.sleep(0.05)
                sent += 1
                signal.pthread_kill(main, signals[0])
            elif number == signals[0] and sent:
                sent -= 1
            elif number in signals and first == math.inf:
                first, _heard = time.monotonic(), number
            elif number in signals and time.monotonic() > first + _SETTLED:
                _end("interrupted twice; ended without more ado")


def _end_children() -> None:
    """End the processes that this one started, as the workers of a sweep: they would hold its output open."""
    with suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children") as file:
                for child in file.read().split():
                    with suppress(OSError):
                        os.kill(int(child), signal.SIGTERM)


def _end(text: str) -> None:
    with suppress(OSError, ValueError):
        shown = "\x1b[?25h\n" if sys.stderr.isatty() else ""  # a progress bar hides the cursor
        os.write(sys.stderr.fileno(), f"{shown}{text}\n".encode())
    _end_children()
    os._exit(_code())
