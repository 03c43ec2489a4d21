"""Ctrl-C and SIGTERM at any moment end a command with 130 and 143, soon, and in words."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

_HEARD = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it


def start(*words, cwd: Path | None = None, heard=_HEARD) -> subprocess.Popen:
    """Start Python as a shell in a terminal does."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heard}
    return subprocess.Popen([sys.executable, *map(str, words)], cwd=cwd, **how)


def told(process: subprocess.Popen, seconds: float = 60) -> str:
    """Return what a process writes to stderr; one that hangs is killed, and fails the test."""
    try:
        return process.communicate(timeout=seconds)[1]
    finally:
        process.kill()


def ends(code: str, **how) -> tuple[int, str]:
    """Run code where an interrupt is heard; return the exit code and what it told."""
    lines = "import hashlib, signal, sys, time, weakref\nfrom data import interrupt\n"
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    process = start("-c", f"{lines}with interrupt.interruptible():\n{body}", **how)
    text = told(process)
    return process.returncode, text


_SENT = "signal.raise_signal(signal.SIGINT)"
_LONG = "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"  # for minutes, without a step of Python
_IN_ORDER = {
    "at once": _SENT,
    "swallowed": f"""
class Thing: pass
thing = Thing()
seen = weakref.ref(thing, lambda _: {_SENT})
del thing
time.sleep(60)""",
    "wrapped": f"""
class Field:
    def __set_name__(self, owner, name): {_SENT}
try:
    class Owner: field = Field()
except KeyboardInterrupt as error:  # as Python 3.11 itself does it
    raise RuntimeError("another error") from error""",
    "in eval": f"eval({_SENT!r})",
    "at the end": f"try:\n    {_SENT}\nfinally:\n    {_SENT}",
}


@pytest.mark.parametrize("code", _IN_ORDER.values(), ids=_IN_ORDER)
def test_an_interrupt_ends_in_order(code):
    assert ends(code) == (130, "interrupted\n")


@pytest.mark.parametrize("ignored", [False, True])  # SIGINT, as behind nohup
def test_sigterm_ends_in_order(ignored):
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_IGN) if ignored else _HEARD
    code = """
try:
    interrupt.os.kill(interrupt.os.getpid(), signal.SIGTERM)
    time.sleep(60)
finally:
    sys.stderr.write('kept, ')"""
    assert ends(code, heard=heard) == (143, "kept, interrupted\n")


def test_sigterm_ends_a_fork_at_once():
    """As who ends a pool of processes expects it."""
    code = """
child = interrupt.os.fork()
if not child:
    time.sleep(60)
time.sleep(0.3)
interrupt.os.kill(child, signal.SIGTERM)
sys.exit(interrupt.os.waitpid(child, 0)[1])"""
    assert ends(code) == (signal.SIGTERM, "")


def test_what_does_not_end_in_order_ends_all_the_same():
    code, text = ends(f"""
interrupt.SECONDS = 0.5
interrupt.threading.Timer(0.2, interrupt.os.kill, (interrupt.os.getpid(), signal.SIGINT)).start()
{_LONG}""")
    assert (code, text) == (130, "interrupted; ended without more ado, since 0.5 s did not do\n")


@pytest.mark.parametrize("end", [_SENT, f"try:\n    {_SENT}\nfinally:\n    {_LONG}"])
def test_processes_that_a_command_started_end_with_it(end):
    """One that goes on would hold the output open, and whoever reads it would wait."""
    assert ends(f"import subprocess\nsubprocess.Popen(['sleep', '300'])\n{end}")[0] == 130


def test_a_second_interrupt_ends_at_once():
    code, text = ends(f"""
def sending():
    for _ in range(2):
        time.sleep(0.7)
        interrupt.os.kill(interrupt.os.getpid(), signal.SIGINT)
interrupt.SECONDS = 50
interrupt.threading.Thread(target=sending).start()
{_LONG}""")
    assert (code, text) == (130, "interrupted twice; ended without more ado\n")


def test_other_ends_are_as_they_were():
    assert ends("sys.exit(3)") == (3, "")
    code, text = ends("raise ValueError('a fault of ours')")
    assert code == 1
    assert "Traceback" in text
    ignored = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # as nohup has it
    assert ends(f"{_SENT}\nsys.exit(4)", heard=ignored) == (4, "")


_AT = """
import runpy, signal, sys
module, wanted, *sys.argv[1:] = sys.argv[1:]

class Finder:
    def find_spec(name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(Finder)
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder)
sys.argv[0] = "-m"
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def commands(images: Path, file: Path, bundle: Path) -> dict[str, list]:
    """Return a line for each command that takes long."""
    size = ["--backbone", "mobilenet", "--image-size", "32", "--weights", "none"]
    return {
        "run": ["extract", "run", images, "-o", "new.h5", *size],
        "verify": ["extract", "verify", file, "--source", file.with_name("images"), "--sample", "3"],
        "bench": ["extract", "bench", images, *size],
        "train": ["classify", "train", file, "-o", "new"],
        "sweep": ["classify", "sweep", file, "-o", "best"],
        "evaluate": ["classify", "evaluate", bundle, file],
        "predict": ["classify", "predict", bundle, images],
        "export": ["classify", "export", bundle, "-o", "new.onnx", "--format", "onnx"],
        "finetune": ["classify", "finetune", bundle, file.with_name("images"), "-o", "new", "--epochs", "2"],
    }


_MOMENTS = [
    ("run", "typer"),
    ("run", "h5py"),
    ("run", "simplejpeg"),
    ("bench", "keras"),
    ("run", "extract.engines.openvino_engine"),
    ("predict", "numpy"),
    ("predict", "skops"),
    ("predict", "openvino"),
    ("train", "classify.heads.table"),
    ("train", "sklearn.utils._testing"),
    ("sweep", "joblib.externals.loky"),
    ("finetune", "tensorflow"),
]


@pytest.mark.parametrize(("command", "module"), _MOMENTS)
def test_an_interrupt_while_a_module_is_imported(images, tiny_file, tiny_bundle, tmp_path, command, module):
    words = commands(images, tiny_file, tiny_bundle)[command]
    process = start("-c", _AT, words[0], module, *words[1:], cwd=tmp_path)
    text = told(process)
    assert process.returncode == 130, text
    assert "interrupted" in text
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["run", "verify", "bench", "train", "sweep", "evaluate", "predict", "finetune"]
)
def test_thirty_moments(images, tiny_file, tiny_bundle, tmp_path, command):
    """From the moment that the watching begins, which is a tenth of a second after the start."""
    words = ["-m", *commands(images, tiny_file, tiny_bundle)[command]]
    begun = time.monotonic()
    process = start(*words, cwd=tmp_path)
    text = told(process, 300)
    assert process.returncode == 0, text
    lasted, slowest = time.monotonic() - begun, 0
    for number in range(30):
        (tmp_path / str(number)).mkdir()
        process = start(*words, cwd=tmp_path / str(number))
        while process.poll() is None and len(os.listdir(f"/proc/{process.pid}/task")) < 2:
            time.sleep(0.001)
        time.sleep(lasted * number / 32)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        text = told(process, 20)
        slowest = max(slowest, time.monotonic() - sent)
        assert process.returncode in (130, 0, -signal.SIGINT), text  # the last two where all is done
        assert "interrupted" in text or process.returncode != 130
        assert "Traceback" not in text
    assert slowest < 10
    print(f"{command}: ended after {slowest:.2f} s at most")


LOST = """
import os, signal, time
from data.console import command_app
from data.interrupt import interruptible
app = command_app("Lose an interrupt.")
@app.command()
def lose():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(2)
    except KeyboardInterrupt:
        pass
    raise ValueError("half a model")
@app.command()
def other():
    pass
with interruptible():
    app(["lose"])
"""


def test_what_a_library_stumbles_over_after_an_interrupt_is_the_interrupt():
    process = start("-c", LOST)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "interrupted")
