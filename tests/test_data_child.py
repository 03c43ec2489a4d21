"""A module of ours in a process of its own imports nothing of the user's."""

import subprocess

import pytest

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
