"""The console script: the commands of the packages, from folders with modules of the user's own."""

import configparser
import importlib
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT, assert_four_parts, draw_images, run_command
from typer.main import get_command
from typer.testing import CliRunner

from classify.headstart import application, main
from data import __version__

PACKAGES = ("data", "extract", "classify")
HEAVY = {"tensorflow", "keras", "sklearn", "openvino", "ray", "skops", "tensorflow_datasets"}
SMALL = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none")
HOSTILE = (*PACKAGES, "numpy", "json", "joblib", "keras", "random")
_AS_PIP_WRITES_IT = """
import re
import sys
from classify.headstart import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
_WATCHED = """
import atexit, runpy, signal, sys
names, wanted, *sys.argv = sys.argv[1:]
atexit.register(lambda: open(names, "w").write("\\n".join(sys.modules)))

class Finder:
    def find_spec(name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(Finder)
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    """The script as it lies in an environment."""
    path = tmp_path_factory.mktemp("an environment") / "bin" / "headstart"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}{_AS_PIP_WRITES_IT}")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder where no module can be imported; its name and those in it have spaces."""
    folder = tmp_path_factory.mktemp("folder of mine")
    draw_images(folder / "my images", each=30)
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} of the user')")
    return folder


def started(*words, cwd: Path, path: Path = ROOT, **how) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(path), **how.pop("env", {})}
    command = [*map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, **how)


def test_help_names_commands_as_they_were_started(script, folder):
    of_script = started(script, "extract", "run", "--help", cwd=folder).stdout
    of_module = run_command("extract", "run", "--help", cwd=ROOT).stdout
    assert "Example: headstart extract run" in of_script and "python -m" not in of_script
    assert "Example: python -m extract run" in of_module


def imported(
    script: Path, *words, cwd: Path, until: str = ""
) -> tuple[subprocess.CompletedProcess, set[str]]:
    """Run the script, interrupted where a module is imported; name what was imported."""
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    names = script.with_name("modules")
    command = (sys.executable, "-P", "-c", _WATCHED, names, until, script, *words)
    done = started(*command, cwd=cwd, preexec_fn=heard)
    return done, set(names.read_text().splitlines())


def test_one_help_page_names_every_command():
    done = CliRunner().invoke(application(), ["--help"], prog_name="headstart")
    assert done.exit_code == 0
    for package in PACKAGES:
        _, _, section = done.stdout.partition(f"\nheadstart {package}:\n")
        commands = get_command(importlib.import_module(f"{package}.cli").app).commands
        assert [line.split()[0] for line in section.partition("\n\n")[0].splitlines()] == [*commands]
    assert all(option in done.stdout for option in ("--version", "--install-completion", "--show-completion"))


@pytest.mark.parametrize(
    "words", [("extract", "info"), ("classify", "train"), ("data", "preview"), ("extract",)]
)
def test_each_command_is_that_of_the_module(script, tmp_path, words):
    ours = started(sys.executable, script, *words, "-h", cwd=tmp_path)
    theirs = run_command(*words, "-h", cwd=tmp_path)
    assert ours.returncode == theirs.returncode == 0
    own, _, also = theirs.stdout.partition("\nAlso as ")
    assert ours.stdout.split()[1:] == own.replace("python -m", "headstart").split()[1:]
    assert also.startswith(f"headstart {words[0]} COMMAND") == (len(words) == 1)


def test_version(script, tmp_path):
    done = started(script, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"headstart {__version__}\n")


def test_the_installed_script_is_this_function():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    (line,) = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    name, module, function = line.replace(" = ", ":").split(":")
    assert name == "headstart"
    assert getattr(importlib.import_module(module), function) is main


@pytest.mark.parametrize(
    "words", [(), ("extract",), ("extract", "inf"), ("extract", "info"), ("extract", "info", "none.h5")]
)
def test_errors_are_told_as_the_modules_tell_them(script, tmp_path, words):
    ours = started(sys.executable, script, *words, cwd=tmp_path)
    theirs = run_command(*(words or ("data",)), cwd=tmp_path)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    if ours.returncode == 1:
        assert ours.stderr == theirs.stderr.replace("python -m extract", "headstart extract")
        assert_four_parts(ours.stderr)


def test_what_comes_next_is_named_as_this_command_was(script, tiny_file, tmp_path):
    done = started(script, "classify", "train", tiny_file, "--head", "ridge", "-o", "ridge", cwd=tmp_path)
    assert "next: headstart classify evaluate ridge" in done.stdout and "python -m" not in done.stdout
    done = run_command("classify", "train", tiny_file, "--head", "ridge", "-o", "ridge", cwd=tmp_path)
    assert "next: python -m classify evaluate ridge" in done.stdout


@pytest.mark.parametrize("words", [("--help",), ("extract", "info", "FILE")])
def test_nothing_heavy_is_imported(script, tiny_file, tmp_path, words):
    words = [tiny_file if word == "FILE" else word for word in words]
    done, names = imported(script, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "typer" in names and not names & HEAVY


@pytest.mark.parametrize(
    ("module", "words"),
    [("typer", ("--help",)), ("h5py", ("extract", "info")), ("sklearn", ("classify", "train"))],
)
def test_an_interrupt_is_told_once(script, tiny_file, tmp_path, module, words):
    words = words if "--help" in words else (*words, tiny_file)
    done, _ = imported(script, *words, cwd=tmp_path, until=module)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted\n"


COMMANDS = {
    "info": ("extract", "info", "my file.h5"),
    "verify": ("extract", "verify", "my file.h5"),
    "sweep": ("classify", "sweep", "my file.h5", "--heads", "ridge,logistic", "--jobs", "2", "-o", "my best"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_modules_of_the_user_are_no_trouble(script, tiny_file, folder, name):
    """Not in this process either: `verify` reads in one of its own, and `sweep` trains in two."""
    shutil.copyfile(tiny_file, folder / "my file.h5")
    done = started(script, *COMMANDS[name], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "of the user" not in done.stdout + done.stderr


@pytest.mark.slow
def test_nor_to_the_arms_of_a_benchmark(script, folder):
    words = ("classify", "benchmark", "my images", "--rows", 40, "--budget", 0.001, *SMALL)
    done = started(script, *words, "-o", "my benchmark", cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_nor_to_the_actors_of_ray(script, folder):
    pytest.importorskip("ray")
    short = Path(f"/tmp/hs{os.getpid()}")  # where Ray's sockets have room for their names
    words = ("extract", "run", "my images", "-o", "ray.h5", *SMALL, "--runner", "ray", "--replicas", 1)
    try:
        done = started(script, *words, cwd=folder, env={"RAY_TMPDIR": str(short)})
    finally:
        shutil.rmtree(short, ignore_errors=True)
    assert done.returncode == 0, done.stderr


def test_a_data_py_on_the_path_is_named(script, tmp_path):
    (tmp_path / "data.py").write_text("raise RuntimeError('mine')")
    done = started(script, "--help", cwd=tmp_path, path=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert_four_parts(done.stderr)
    assert str(tmp_path / "data.py") in done.stderr and "PYTHONPATH" in done.stderr


def completed(script: Path, typed: str, shell: str, cwd: Path) -> str:
    words = typed.split(" ")
    env = {"_HEADSTART_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
    env |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return started(script, cwd=cwd, env=env).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes(script, folder, shell):
    commands = completed(script, "headstart classify ", shell, folder)
    assert all(name in commands for name in ("train", "sweep", "finetune"))
    assert "--head" in completed(script, "headstart classify train --he", shell, folder)


@pytest.fixture
def bash() -> str:
    return shutil.which("bash") or pytest.skip("needs bash")


def in_bash(bash: str, script: Path, lines: str, home: Path) -> subprocess.CompletedProcess:
    """Run lines in a bash that stays, since the script asks which shell it was called from."""
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    return started(bash, "-c", f"{lines}\nexit $?", cwd=home, env={"PATH": path, "HOME": str(home)})


def test_bash_completes_by_what_is_shown(bash, script, tmp_path):
    lines = """eval "$(headstart --show-completion)"
COMP_WORDS=(headstart extract ver) COMP_CWORD=2
_headstart_completion headstart
echo "${COMPREPLY[@]}" """
    assert in_bash(bash, script, lines, tmp_path).stdout == "verify\n"


def test_completion_is_installed(bash, script, tmp_path):
    done = in_bash(bash, script, "headstart --install-completion", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "_HEADSTART_COMPLETE" in (tmp_path / ".bash_completions" / "headstart.sh").read_text()


@pytest.mark.parametrize("spoil", [Path.mkdir, lambda path: path.write_bytes(b"\xff")])
def test_a_start_file_that_cannot_be_changed(bash, script, tmp_path, spoil):
    (tmp_path / ".bash_completions").write_text("no folder")
    spoil(tmp_path / ".bashrc")
    done = in_bash(bash, script, "headstart --install-completion", tmp_path)
    assert done.returncode == 1
    assert_four_parts(done.stderr)
