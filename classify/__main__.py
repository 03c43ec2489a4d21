"""Run the commands: python -m classify."""

from extract.siblings import require_siblings

require_siblings("classify", ["data", "extract"])

from classify.cli import app  # noqa: E402  (the packages must be ours before they are imported)

app(prog_name="python -m classify")
