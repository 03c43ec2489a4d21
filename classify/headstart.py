"""The console script: the commands of the three packages as headstart PACKAGE COMMAND."""

import os
from typing import TYPE_CHECKING

from extract.siblings import require_siblings

if TYPE_CHECKING:  # Ctrl-C is heard before anything large is imported
    from typer import Typer


def main() -> None:
    """Run the command; Python does not look in the working folder, nor does what this process starts."""
    os.environ["PYTHONSAFEPATH"] = "1"
    require_siblings("classify", ["data", "extract"])
    from data.interrupt import interruptible

    with interruptible():
        from data.console import SCRIPT

        application()(prog_name=SCRIPT)


def application() -> "Typer":
    """Make the Typer application that holds those of the packages."""
    from classify.cli import app as classify
    from data.cli import app as data
    from data.console import command_app
    from extract.cli import app as extract

    words = "Run a frozen image backbone once, keep the features, train honest classifiers in seconds."
    return command_app(words, {"data": data, "extract": extract, "classify": classify})
