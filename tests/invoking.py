"""The commands of `classify` in this process."""

import json

from conftest import assert_four_parts
from typer.testing import CliRunner

from classify.cli import app


def invoke(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def succeed(*words):
    """Run a command that should work, and return what it printed to stdout."""
    result = invoke(*words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def fail(*words, code: int | None = None) -> str:
    """Run a command that the user got wrong, and return its message."""
    result = invoke(*words)
    usage = result.stderr.startswith("error: unknown ")
    assert result.exit_code == (code or (2 if usage else 1)), result.output
    assert result.stdout == "" or "error" in json.loads(result.stdout)  # as --json has it
    assert result.stderr.startswith("error: ")
    assert_four_parts(result.stderr)
    return result.stderr
