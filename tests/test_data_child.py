"""A module of ours in a process of its own imports nothing of the user's."""

import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from data.child import command_of, environment


@pytest.mark.parametrize("hostile", ["data", "extract", "numpy", "json"])
def test_a_process_of_ours_imports_ours(tmp_path, tiny_file, hostile):
    (tmp_path / f"{hostile}.py").write_text("raise RuntimeError('mine')")
    command = command_of("extract.feature_file.verify", tiny_file)
    done = subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"problems": []' in done.stdout


PARENT = """
import subprocess, sys, time
from data.child import command_of, environment
child = subprocess.Popen(command_of("waiting", "word"), env=environment())
print(child.pid, flush=True)
time.sleep(60)
"""
WAITING = """
import sys, time
try:
    print(sys.argv[1:], __name__, flush=True)
    time.sleep(60)
    open("slept to the end", "w").close()
finally:
    open("ended in order", "w").close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
@pytest.mark.parametrize("ignored", [False, True])  # as it is behind nohup, and in a script behind &
def test_a_process_of_ours_ends_with_the_one_that_started_it(ignored, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/waiting.py").write_text(WAITING)
    paths = os.pathsep.join([str(tmp_path / "modules"), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout.readline().strip().isdigit()
        assert parent.stdout.readline() == "['word'] __main__\n"
        parent.kill()
        parent.stdout.read()  # to its end: the child has it too
    assert (tmp_path / "ended in order").exists() and not (tmp_path / "slept to the end").exists()


def test_a_process_whose_parent_has_ended_already_does_nothing(tiny_file):
    command = command_of("extract.feature_file.verify", tiny_file)
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "") or sys.platform != "linux"


def test_no_python_that_is_started_looks_in_the_working_folder():
    paths = [path for package in ("data", "extract", "classify") for path in (ROOT / package).rglob("*.py")]
    started = [words for path in paths for words in re.findall(r"sys\.executable, (\S+),", path.read_text())]
    assert len(started) >= 3 and set(started) == {'"-P"'}
