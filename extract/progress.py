"""A progress bar with speed and the time that is left, on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from data.console import err, say
from data.errors import counted


class _Speed(ProgressColumn):
    def __init__(self, noun: str):
        super().__init__()
        self._noun = noun

    def render(self, task) -> Text:
        return Text(f"{task.speed:.1f} {self._noun}s/s" if task.speed else "")


@contextmanager
def progress_bar(
    words: str, noun: str = "image", doing: str | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield a callable that takes what is done and what is to do.

    Parameters
    ----------
    words : str
        What the bar waits for until the first one is done.
    noun : str
        What is counted.
    doing : str, optional
        What the bar says from then on; by default the same words.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(noun),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, speed_estimate_period=60) as bar:
        task = bar.add_task(words, total=None)

        def advance(done: int, total: int) -> None:
            if done == 0 and not err.is_terminal:
                say(f"{counted(total - done, noun)} to compute")
            bar.update(task, completed=done, total=total, description=(doing or words) if done else words)

        yield advance
