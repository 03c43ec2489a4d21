"""Run the commands: python -m data."""

from data.interrupt import interruptible

with interruptible():
    from data.cli import app

    app(prog_name="python -m data")
