"""How far a long command is: a bar on a terminal, and elsewhere a line from time to time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from data.console import err, say
from data.text import counted, plural

EVERY = 10  # seconds between two lines


class _Speed(ProgressColumn):
    def __init__(self, noun: str) -> None:
        super().__init__()
        self._noun = noun

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {plural(self._noun)}/s" if task.speed else "")


class Lines:
    """Say about every ten seconds how much is done, how fast it goes, and the time that is left.

    Parameters
    ----------
    noun : str
        What is counted.

    Examples
    --------
    >>> lines = Lines("image")
    >>> lines.advance(0, 2002)  # doctest: +SKIP
    2002 images to compute
    >>> lines.advance(512, 2002)  # doctest: +SKIP
    512 of 2,002 images, 38.2 images/s, 39 s left
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._said = time.monotonic()
        self._first: tuple[float, int] | None = None  # time and number of the first that was done

    def advance(self, done: int, total: int) -> None:
        """Take what is done and what is to do; the speed leaves out what came before the first one."""
        now = time.monotonic()
        if done == 0:
            say(f"{counted(total, self._noun)} to compute")
            return
        self._first = first = self._first or (now, done)
        if now - self._said >= EVERY and done < total:
            self._said = now
            say(f"{done:,} of {total:,} {plural(self._noun)}{self._speed(first, now, done, total)}")

    def _speed(self, first: tuple[float, int], now: float, done: int, total: int) -> str:
        begun, before = first
        if done == before or now == begun:
            return ""
        speed = (done - before) / (now - begun)
        shown = f"{speed:.1f}" if speed >= 1 else f"{speed:.2g}"
        return f", {shown} {plural(self._noun)}/s, {duration((total - done) / speed)} left"


def duration(seconds: float) -> str:
    """Return a time in two units.

    Examples
    --------
    >>> duration(39.4), duration(80), duration(7500)
    ('39 s', '1 min 20 s', '2 h 5 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress_bar(
    words: str, noun: str = "image", doing: str | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield a callable that takes what is done and what is to do; without a terminal it says lines.

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
    if not err.is_terminal:
        yield Lines(noun).advance
        return
    with Progress(*columns, console=err, speed_estimate_period=60) as bar:
        task = bar.add_task(words, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=(doing or words) if done else words)

        yield advance
