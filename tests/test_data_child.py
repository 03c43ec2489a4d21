"""A module of ours in a process of its own imports nothing of the user's."""

import re
import subprocess

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


def test_no_python_that_is_started_looks_in_the_working_folder():
    paths = [path for package in ("data", "extract", "classify") for path in (ROOT / package).rglob("*.py")]
    started = [words for path in paths for words in re.findall(r"sys\.executable, (\S+),", path.read_text())]
    assert len(started) >= 3 and set(started) == {'"-P"'}
