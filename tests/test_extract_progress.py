"""How far a long command is, where no bar can be drawn: a line about every ten seconds."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from data import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "say", lines.append)
    return lines


def test_a_line_every_ten_seconds(clock, said):
    """The engine opens for 20 s; then come ten images every quarter of a second."""
    with progress.progress_bar("waiting") as advance:
        advance(0, 2000)
        clock.now = 20
        for done in range(10, 2001, 10):
            advance(done, 2000)
            clock.now += 0.25
    assert said == [
        "2000 images to compute",
        "10 of 2,000 images",
        "410 of 2,000 images, 40.0 images/s, 40 s left",
        "810 of 2,000 images, 40.0 images/s, 30 s left",
        "1,210 of 2,000 images, 40.0 images/s, 20 s left",
        "1,610 of 2,000 images, 40.0 images/s, 10 s left",
    ]


def test_what_was_done_before_does_not_count_as_fast(clock, said):
    """A sweep that goes on with its 30th head; each takes half a minute."""
    with progress.progress_bar("training", "head") as advance:
        for done in range(30, 33):
            advance(done, 150)
            clock.now += 30
    assert said == [
        "31 of 150 heads, 0.033 heads/s, 59 min 30 s left",
        "32 of 150 heads, 0.033 heads/s, 59 min 0 s left",
    ]


def test_a_short_run_says_only_what_it_does(clock, said):
    with progress.progress_bar("waiting") as advance:
        for done in range(10):
            advance(done, 9)
            clock.now += 1
    assert said == ["9 images to compute"]


def test_passes_over_blocks_say_how_far_they_are(tmp_path, clock, monkeypatch, caplog):
    from classify.features import blocks

    monkeypatch.setattr(blocks, "time", clock)
    caplog.set_level(logging.INFO, "headstart")
    layer = np.memmap(tmp_path / "layer", np.float32, "w+", shape=(40_000, 16))
    rows = blocks.Blocks(blocks.Columns([layer]), np.arange(40_000), None, 16 * 2**16)
    for _ in range(2):
        for _ in rows.in_order():
            clock.now += 3
    assert [record.message for record in caplog.records] == [
        f"pass {number} over the rows: {done} of 40,000 read"
        for number, done in [(1, "16,384"), (1, "32,768"), (2, "8,192"), (2, "24,576"), (2, "40,000")]
    ]
