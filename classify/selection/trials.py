"""What a sweep has finished, line by line, so that an interrupted one goes on."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed, judged on the validation rows."""

    key: str
    seed: int
    right: int
    rows: int
    log_loss: float
    seconds: float
    warnings: list[str] = field(default_factory=list)  # a line each, of all that trained with it


def read_journal(path: Path | None, digest: str) -> dict[tuple[str, int], Trial]:
    """Return what an interrupted sweep of the same features finished; a torn last line counts as none."""
    done = {}
    for line in path.read_text().splitlines() if path and path.is_file() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if values.pop("features") == digest:
            trial = Trial(**values)
            done[trial.key, trial.seed] = trial
    return done


@contextmanager
def kept_in(path: Path | None, digest: str) -> Iterator[Callable[[Trial], None]]:
    """Yield what appends a finished trial to the journal; there is none before the first."""
    if path is None:
        yield lambda trial: None
        return
    text = path.read_text() if path.is_file() else ""
    torn = "\n" if text and not text.endswith("\n") else ""
    with ExitStack() as stack:
        file: TextIO | None = None

        def keep(trial: Trial) -> None:
            nonlocal file
            if file is None:
                file = stack.enter_context(open(path, "a"))
                file.write(torn)
            file.write(json.dumps({"features": digest, **asdict(trial)}) + "\n")
            file.flush()

        yield keep
