"""Run the commands: python -m classify."""

from pathlib import Path
from runpy import run_path

siblings = run_path(
    str(Path(__file__).parent.parent / "extract" / "siblings.py")
)  # whatever is named extract here
siblings["require_siblings"]("classify", ["data", "extract"])

from data.interrupt import interruptible  # noqa: E402  (both must be ours before it is imported)

with interruptible():
    from classify.cli import app

    app(prog_name="python -m classify")
