"""Run the commands: python -m extract."""

from extract.siblings import require_siblings

require_siblings("extract", ["data"])

from extract.cli import app  # noqa: E402  (data must be ours before it is imported)

app(prog_name="python -m extract")
