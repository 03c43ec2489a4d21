"""The contract of a source that ships: a source with a fault fails where it should, and its page runs."""

import inspect
import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import CODE, ROOT, draw_images

from data import Row, Source, open_source
from data.sources.arrays import npy_bytes
from data.testing.source import SourceContract

IMAGES = {
    f"{number:02d}": npy_bytes(np.full((4, 4), [0, 1, 2, 9 * number], np.uint8)) for number in range(12)
}
ROWS = tuple(Row(name, number % 2) for number, name in enumerate(IMAGES))

GONE: list[str] = []  # images that were taken away


class Contract(SourceContract):
    """The contract for sources whose images can go."""

    def take_away(self, source, row):
        GONE.append(row.id)
        return True


@pytest.fixture(autouse=True)
def nothing_is_gone():
    GONE.clear()


@dataclass(frozen=True)
class Sound(Source):
    """A source without a fault; those below have one."""

    rows: tuple[Row, ...] = ROWS
    class_names: tuple[str, ...] = ("a", "b")
    warnings: tuple[str, ...] = ()
    location: str | None = None
    sendable: bool = True
    said: object = ("kind", "sound")

    def describe(self) -> dict:
        return dict([self.said])

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            yield FileNotFoundError(row.id) if row.id in GONE else IMAGES[row.id]

    def portable(self) -> Source | None:
        return self


class InItsOwnOrder(Sound):
    def read(self, rows):
        return super().read(sorted(rows, key=lambda row: row.id))


class DropsTheLast(Sound):
    def read(self, rows):
        return super().read(list(rows)[:-1])


class FirstOfTheFile(Sound):
    """One that begins anew at each call."""

    def read(self, rows):
        return itertools.islice(super().read(self.rows), len(list(rows)))


class WantsMoreThanOne(Sound):
    def read(self, rows):
        rows = list(rows)
        return super().read(rows if len(rows) != 1 else self.rows[:1])


class NoImages(Sound):
    def read(self, rows):
        return (row.id.encode() for row in rows)


class OnePlaceForAll(Sound):
    """Two readings share one place in the file."""

    place = itertools.count()

    def read(self, rows):
        rows, start = list(rows), next(self.place)
        for number in range(len(rows)):
            yield IMAGES[rows[number if next(self.place) == start + 1 + number else 0].id]


class Raises(Sound):
    """One that ends where an image is gone."""

    def read(self, rows):
        for row in rows:
            if row.id in GONE:
                raise FileNotFoundError(row.id)
            yield IMAGES[row.id]


class EndsEarly(Sound):
    def read(self, rows):
        return itertools.takewhile(lambda data: isinstance(data, bytes), super().read(rows))


class GivesNothing(Sound):
    def read(self, rows):
        return (data if isinstance(data, bytes) else b"" for data in super().read(rows))


class Missing(Sound):
    def read(self, rows):
        yield from (FileNotFoundError(row.id) if row == self.rows[3] else IMAGES[row.id] for row in rows)


class StampsOfSome(Sound):
    def stamps(self):
        return [(1, 1)]


class StampsOfNow(Sound):
    count = itertools.count(1)

    def stamps(self):
        return [(1, next(self.count)) for _ in self.rows]


class StampsInSeconds(Sound):
    def stamps(self):
        return [(1, 0.5) for _ in self.rows]


class Locked(Sound):
    """One that holds what cannot be pickled."""

    def __init__(self):
        super().__init__()
        object.__setattr__(self, "lock", threading.Lock())

    def portable(self):
        return None


class OpensAnother(Sound):
    def address(self):
        return {"text": "digits"}


class Relative(Sound):
    def portable(self):
        return NextToMe()


class NextToMe(Sound):
    def read(self, rows):
        return super().read(rows) if Path("here").exists() else iter([b""] * len(list(rows)))


class Counting(Sound):
    count = itertools.count()

    def describe(self):
        return {"kind": "sound", "opened": next(self.count)}


class StaysHere(Sound):
    """Neither another node can read it, nor may its bytes be sent."""

    def portable(self):
        return None


class NoSource:
    """It looks like one, and does not inherit what a source need not say."""

    rows, class_names, warnings = ROWS, ("a", "b"), ()


def turning() -> Sound:
    """Open a source whose rows are never twice in one order."""
    return Sound(ROWS[:: next(TURNS)])


TURNS = itertools.cycle([1, -1])
FAULTS: dict[str, list[Callable[[], object]]] = {
    "it_is_a_source": [NoSource],
    "rows_have_unique_ids": [
        lambda: Sound((*ROWS, ROWS[0])),
        lambda: Sound(ROWS[:2]),
        lambda: Sound((*ROWS, Row(12, 0))),
        lambda: Sound((*ROWS, Row("", 0))),
        lambda: Sound((*ROWS, ("12", 0))),
    ],
    "labels_are_those_of_class_names": [
        lambda: Sound((*ROWS, Row("12", 2))),
        lambda: Sound((*ROWS, Row("12", -2))),
        lambda: Sound((*ROWS, Row("12", "a"))),
    ],
    "splits_and_groups_are_names_or_none": [
        lambda: Sound((*ROWS, Row("12", 0, "val"))),
        lambda: Sound((*ROWS, Row("12", 0, None, 7))),
        lambda: Sound((*ROWS, Row("12", 0, None, ""))),
    ],
    "class_names_and_warnings_are_tuples_of_text": [
        lambda: Sound(class_names=("a", "a")),
        lambda: Sound(class_names=["a", "b"]),
        lambda: Sound(class_names=(0, 1)),
        lambda: Sound(warnings="odd"),
    ],
    "read_gives_the_rows_asked_for_in_their_order": [InItsOwnOrder, DropsTheLast, FirstOfTheFile, Missing],
    "an_image_that_is_gone_is_an_error_in_its_place": [Raises, EndsEarly, GivesNothing],
    "a_row_alone_gives_the_same_bytes": [WantsMoreThanOne],
    "bytes_decode_to_pixels": [NoImages],
    "description_is_json_without_this_machine": [
        lambda: Sound(said=("kind", str(Path.cwd() / "images"))),
        lambda: Sound(said=("kind", f"of {Path.home()}")),
        lambda: Sound(said=("kind", ("a", "tuple"))),
        lambda: Sound(said=("kind", "")),
        Counting,
    ],
    "stamps_are_sizes_and_times_that_stay": [StampsOfSome, StampsOfNow, StampsInSeconds],
    "location_is_a_path_of_this_machine_or_an_address": [
        lambda: Sound(location="tests"),
        lambda: Sound(location="/nowhere/at/all"),
    ],
    "the_address_opens_the_same_images_from_anywhere": [
        lambda: OpensAnother(location=str(ROOT)),
        lambda: Sound(location=str(ROOT / "tests")),
    ],
    "what_another_node_reads_by_gives_the_same": [
        Relative,
        lambda: Sound(sendable="yes"),
        lambda: StaysHere(sendable=False),
    ],
    "opening_again_gives_the_same_rows": [turning],
    "a_pickled_source_reads_the_same": [Locked],
    "readings_do_not_disturb_each_other": [OnePlaceForAll],
}


def run(name: str, opened: Callable[[], object], tmp_path, tmp_path_factory, monkeypatch) -> None:
    """Run one test of the contract as pytest does, with the fixtures that it asks for."""
    test = getattr(Contract(), f"test_{name}")
    fixtures = {"opened": opened, "tmp_path": tmp_path, "tmp_path_factory": tmp_path_factory}
    fixtures["monkeypatch"] = monkeypatch
    asked = inspect.signature(test).parameters
    test(**{each: opened() if each == "source" else fixtures[each] for each in asked})


class TestASourceWithoutAFault(Contract):
    @pytest.fixture
    def opened(self):
        return Sound


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name, faults in FAULTS.items() for fault in faults],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_a_fault_fails_its_test(name, fault, tmp_path, tmp_path_factory, monkeypatch):
    with pytest.raises((AssertionError, TypeError, ValueError, FileNotFoundError)):
        run(name, fault, tmp_path, tmp_path_factory, monkeypatch)


def test_every_test_of_the_contract_has_its_fault():
    tests = {name.removeprefix("test_") for name in vars(SourceContract) if name.startswith("test_")}
    assert tests == set(FAULTS)


def test_relative_paths_are_seen_from_elsewhere(tmp_path, tmp_path_factory, monkeypatch):
    draw_images(tmp_path / "images", each=4)
    monkeypatch.chdir(tmp_path)
    source = open_source("images")
    monkeypatch.setattr(type(source), "portable", lambda self: self)
    name = "what_another_node_reads_by_gives_the_same"
    with pytest.raises(AssertionError):
        run(name, lambda: source, tmp_path_factory.mktemp("elsewhere"), tmp_path_factory, monkeypatch)


def test_without_the_fixture_it_is_said_what_is_missing(tmp_path):
    done = run_pytest(
        tmp_path, "from data.testing.source import SourceContract\n\nclass TestIt(SourceContract): ...\n"
    )
    assert done.returncode == 1 and "give the fixture `opened`" in done.stdout


def test_the_source_of_the_page_passes_its_tests(tmp_path):
    page = (ROOT / "docs/sources.md").read_text()
    section = page[page.index("## Write a source of your own") :]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    done = run_pytest(tmp_path, code)
    count = sum(name.startswith("test_") for name in vars(SourceContract))
    assert done.returncode == 0 and f"{count} passed" in done.stdout, done.stdout
    broken = code.replace("ORDER BY rowid", "ORDER BY random()")
    assert broken != code and run_pytest(tmp_path, broken).returncode == 1


def run_pytest(folder: Path, code: str) -> subprocess.CompletedProcess:
    (folder / "test_of_mine.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_of_mine.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_nothing_of_ours_imports_it():
    code = (
        "import sys, data.cli, extract.cli, classify.cli\nprint({'pytest', 'data.testing'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    for path in (
        path for package in ("data", "extract", "classify") for path in (CODE / package).rglob("*.py")
    ):
        assert "data.testing" not in path.read_text() or path.parent.name == "testing", path
