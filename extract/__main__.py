"""Run the commands: python -m extract."""

from extract.siblings import require_siblings

require_siblings("extract", ["data"])

from data.interrupt import interruptible  # noqa: E402  (data must be ours before it is imported)

with interruptible():
    from extract.cli import app

    app(prog_name="python -m extract")
