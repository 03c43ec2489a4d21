"""The parts of a run in one stream: the engine goes on from one to the next, and what is finished is kept."""

import errno
import threading
from contextlib import closing
from dataclasses import dataclass

import pytest
from numpy_engine import PART, RECIPE, NumpyEngine, arrays

from data import HeadstartError
from extract.feature_file.digests import split_digests
from extract.feature_file.part import PartFile
from extract.run import plan, scan, worker

SLOW_WRITE = 0.05


class Asynchronous(NumpyEngine):
    """As one that computes beside us: it notes how many batches it still has when one is taken from it."""

    def __init__(self):
        super().__init__()
        self.batch_size, self.ahead = PART // 2, 2
        self.left: list[int] = []
        self._given = 0

    def start(self, batch):
        finish, self._given = super().start(batch), self._given + 1

        def finished():
            self._given -= 1
            self.left.append(self._given)
            return finish()

        return finished


@dataclass
class Stream:
    """A worker on the parts of the arrays, whose source can change between scan and reading."""

    source: object
    folder: object
    engine: NumpyEngine

    def __post_init__(self):
        self.parts = plan.plan(scan.scan_source(self.source), known=()).parts
        self.done: list[int] = []

    def worker(self, **how):
        make = worker.Work(worker.PartWorker, RECIPE, self.folder, batch_size=self.engine.batch_size, **how)
        return make(source=self.source, progress=self.done.append)

    def kept(self):
        return {
            digest for path in self.folder.glob("*.h5") for digest in split_digests(PartFile(path).digests)
        }


@pytest.fixture
def stream(numpy_backbone, monkeypatch, tmp_path):
    engine = Asynchronous()
    monkeypatch.setattr(worker, "open_engine", lambda *args: engine)
    return Stream(arrays(), tmp_path, engine)


class Partly:
    """A source of which some rows cannot be read any more."""

    def __init__(self, source, missing: set, error: int):
        self.rows, self._source, self._missing, self._error = source.rows, source, missing, error

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, rows):
        for row, data in zip(rows, self._source.read(rows), strict=True):
            yield OSError(self._error, "broken") if row.id in self._missing else data


def lose(stream, rows, error: int = errno.ENOENT) -> None:
    """Let the bytes of some rows be an error."""
    stream.source = Partly(stream.source, {row.id for row in rows}, error)


def test_the_engine_is_without_work_at_the_end_alone(stream):
    stream.engine.left.clear()
    parts = [part for part, _ in stream.worker().stream(stream.parts)]
    assert parts == list(stream.parts) and len(parts) > 3
    left = stream.engine.left[-len(parts) * 2 :]
    assert [place for place, waiting in enumerate(left) if not waiting] == [len(left) - 1]
    assert stream.kept() == {digest for part in parts for digest in part.digests}
    assert sum(stream.done) == len(stream.source.rows)


def test_one_part_alone_is_the_same_part(stream, tmp_path):
    for part in stream.parts:
        assert stream.worker()(part).images == PART
    alone = {path.name: path.read_bytes() for path in tmp_path.glob("*.h5")}
    list(stream.worker().stream(stream.parts))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.h5")} == alone


@pytest.mark.parametrize("empty", [[0], [1, 2], [-1], range(8)])
def test_a_part_of_which_all_images_vanished_is_empty(stream, empty):
    parts = [stream.parts[number] for number in empty]
    lose(stream, [row for part in parts for row in part.rows])
    came = {part.name: computed.images for part, computed in stream.worker().stream(stream.parts)}
    assert list(came) == [part.name for part in stream.parts]
    assert [came[part.name] for part in parts] == [0] * len(parts)
    assert sum(came.values()) == (len(stream.parts) - len(parts)) * PART


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_read_before_an_image_that_cannot_be_is_kept(stream, whole):
    lose(stream, [stream.parts[1].rows[5]], errno.EACCES)
    with pytest.raises(HeadstartError, match="broken"):
        list(stream.worker(whole=whole).stream(stream.parts))
    first, second = stream.parts[:2]
    assert stream.kept() == {*first.digests, *(() if whole else second.digests[:5])}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), MemoryError("none left")])
def test_a_part_that_cannot_be_written_ends_the_run_and_its_threads(stream, monkeypatch, error):
    write = worker.write_part

    def failing(path, *rest):
        if path.name == stream.parts[2].name:
            raise error
        write(path, *rest)

    monkeypatch.setattr(worker, "write_part", failing)
    with pytest.raises(type(error)) as caught:
        list(stream.worker().stream(stream.parts))
    assert caught.value is error
    assert {*stream.parts[0].digests, *stream.parts[1].digests} <= stream.kept()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("write", "decode"))]


def test_who_takes_no_more_parts_keeps_what_is_finished(stream):
    with closing(stream.worker().stream(stream.parts)) as results:
        next(results)
    assert len(stream.kept()) >= PART
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("write", "decode"))]


def test_few_parts_wait_for_a_slow_disk(stream, monkeypatch):
    """So that memory stays flat, and a kill loses the part that is written and the next at most."""
    write, finish, waiting, most = worker.GrowingPart.close, stream.engine.start, [0], []

    def close(part, name):
        threading.Event().wait(SLOW_WRITE)
        write(part, name)
        waiting[0] -= PART

    def start(batch):
        waiting[0] += len(batch)
        most.append(waiting[0])
        return finish(batch)

    opened = stream.worker()
    monkeypatch.setattr(worker.GrowingPart, "close", close)
    monkeypatch.setattr(stream.engine, "start", start)
    list(opened.stream(stream.parts))
    in_flight = (stream.engine.ahead + 1) * stream.engine.batch_size
    assert max(most) <= 2 * PART + in_flight
