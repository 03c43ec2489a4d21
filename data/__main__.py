"""Run the commands: python -m data."""

from pathlib import Path
from runpy import run_path

siblings = run_path(str(Path(__file__).parent.parent / "extract" / "siblings.py"))
siblings["require_siblings"]("data", [])

from data.interrupt import interruptible  # noqa: E402  (the working folder is looked into last from here)

with interruptible():
    from data.cli import app

    app(prog_name="python -m data")
