"""Run the commands: python -m classify."""

from extract.siblings import require_siblings

require_siblings("classify", ["data", "extract"])

from data.interrupt import interruptible  # noqa: E402  (data must be ours before it is imported)

with interruptible():
    from classify.cli import app

    app(prog_name="python -m classify")
