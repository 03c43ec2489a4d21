"""The contract of a source: one class of tests, inherited once for each source, by others' too."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.images import load_image
from data.sources.source import Row, Source, open_source
from data.stores.stamp import Stamp
from data.stores.urls import is_url

Opened = Callable[[], Source]


class SourceContract:
    """What holds for every source.

    A subclass gives the fixture `opened`: a function without parameters that opens the source, of three
    rows or more, of which not all images are equal. Where images can go, it says in `take_away` how.

    Examples
    --------
    >>> class TestDigits(SourceContract):
    ...     @pytest.fixture
    ...     def opened(self):
    ...         return lambda: open_source("digits")
    """

    @pytest.fixture
    def opened(self) -> Opened:
        """Return a function that opens the source."""
        raise NotImplementedError("give the fixture `opened`: a function that opens the source")

    @pytest.fixture
    def source(self, opened: Opened) -> Source:
        """Open the source."""
        return opened()

    def take_away(self, source: Source, row: Row) -> bool:
        """Take the image of a row away, and return True; False where an image cannot go by itself."""
        return False

    def test_it_is_a_source(self, source: Source) -> None:
        assert isinstance(source, Source), "a class that inherits data.Source"

    def test_rows_have_unique_ids(self, source: Source) -> None:
        rows = list(source.rows)
        assert len(rows) >= 3 and len(rows) == len(source.rows), "three rows or more, to test anything"
        assert all(isinstance(row, Row) for row in rows), "a row is a data.Row"
        assert all(isinstance(row.id, str) and row.id.encode() for row in rows), "an id is text, in UTF-8"
        assert len({row.id for row in rows}) == len(rows), "no two rows share an id"

    def test_labels_are_those_of_class_names(self, source: Source) -> None:
        known = {-1, *range(len(source.class_names))}
        assert {row.label for row in source.rows} <= known, "a label is an index into class_names, or -1"

    def test_splits_and_groups_are_names_or_none(self, source: Source) -> None:
        assert {row.split for row in source.rows} <= {None, "train", "validation", "test"}
        groups = {row.group for row in source.rows}
        assert all(group is None or (isinstance(group, str) and group) for group in groups)

    def test_class_names_and_warnings_are_tuples_of_text(self, source: Source) -> None:
        for texts in (source.class_names, source.warnings):
            assert isinstance(texts, tuple) and all(isinstance(text, str) for text in texts)
        assert len(set(source.class_names)) == len(source.class_names), "no two classes share a name"

    def test_read_gives_the_rows_asked_for_in_their_order(self, source: Source) -> None:
        rows = list(source.rows)
        held = dict(zip((row.id for row in rows), source.read(rows), strict=True))
        assert all(isinstance(data, bytes) for data in held.values()), "every image can be read"
        assert len(set(held.values())) > 1, "not all images are equal"
        for chosen in (rows[8::-1], rows[1:9:3], rows[-1:] + rows[:2] + rows[-1:], []):
            found = list(source.read(iter(chosen)))
            assert found == [held[row.id] for row in chosen], [row.id for row in chosen]

    def test_an_image_that_is_gone_is_an_error_in_its_place(self, source: Source) -> None:
        rows = list(source.rows)
        before = list(source.read(rows))
        if not self.take_away(source, rows[1]):
            pytest.skip("its images cannot go by themselves, or `take_away` does not say how")
        found = list(source.read(rows))
        assert len(found) == len(rows), "the rows behind it are read too"
        assert isinstance(found[1], OSError), "its error is yielded in the place of its bytes"
        assert [found[0], *found[2:]] == [before[0], *before[2:]], "the others are not lost"

    def test_a_row_alone_gives_the_same_bytes(self, source: Source) -> None:
        chosen = [source.rows[0], source.rows[len(source.rows) // 2], source.rows[-1]]
        assert [next(iter(source.read([row]))) for row in chosen] == list(source.read(chosen))

    def test_bytes_decode_to_pixels(self, source: Source) -> None:
        for data in source.read([source.rows[0], source.rows[-1]]):
            assert isinstance(data, bytes)
            pixels = load_image(data, (24, 40))
            assert pixels.shape == (24, 40, 3) and pixels.dtype == np.float32
            assert 0 <= pixels.min() < pixels.max() <= 255

    def test_description_is_json_without_this_machine(
        self, opened: Opened, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        source = opened()
        described = source.describe()
        text = json.dumps(described)
        assert json.loads(text) == described == opened().describe(), "it is of JSON, and the same each time"
        assert isinstance(described["kind"], str) and described["kind"]
        places = [tmp_path_factory.getbasetemp(), Path.cwd(), Path.home(), Path(source.location or "/")]
        for place in (place for place in places if place != place.parent):  # not the root of the disk
            assert str(place) not in text and place.as_posix() not in text, "paths belong to one machine"

    def test_stamps_are_sizes_and_times_that_stay(self, source: Source) -> None:
        stamps = list(source.stamps())
        assert len(stamps) == len(source.rows), "a stamp for each row, or None"
        assert stamps == list(source.stamps()), "what has not changed has the same stamp"
        for stamp in stamps:
            assert stamp is None or isinstance(stamp, Stamp), "a stamp is a data.Stamp"
            assert stamp is None or (stamp.size > 0 and stamp.version > 0)

    def test_location_is_a_path_of_this_machine_or_an_address(self, source: Source) -> None:
        place = source.location
        assert place is None or is_url(place) or (os.path.isabs(place) and os.path.exists(place))

    def test_the_address_opens_the_same_images_from_anywhere(
        self, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address = json.loads(json.dumps(source.address()))
        if address is None:
            assert source.location is None, "who has a location can be opened again"
            return
        before = list(source.read(source.rows))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        again = open_source(**address)
        rows = {row.id: row for row in again.rows}
        assert rows.keys() >= {row.id for row in source.rows}, "the address opens all of the rows"
        assert list(again.read([rows[row.id] for row in source.rows])) == before

    def test_what_another_node_reads_by_gives_the_same(
        self, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portable = pickle.loads(pickle.dumps(source.portable()))
        assert isinstance(source.sendable, bool)
        assert portable is not None or source.sendable, "else nobody but this process has the bytes"
        if portable is not None:
            before = list(source.read(source.rows))
            monkeypatch.chdir(tmp_path)  # its paths do not depend on the working directory
            assert list(portable.read(portable.rows)) == before

    def test_opening_again_gives_the_same_rows(self, opened: Opened) -> None:
        first, second = opened(), opened()
        assert list(first.rows) == list(second.rows) and first.class_names == second.class_names

    def test_a_pickled_source_reads_the_same(self, source: Source) -> None:
        before = list(source.read(source.rows[:3]))
        copy = pickle.loads(pickle.dumps(source))
        assert list(copy.rows) == list(source.rows) and copy.describe() == source.describe()
        assert list(copy.read(copy.rows[:3])) == before

    def test_readings_do_not_disturb_each_other(self, source: Source) -> None:
        """As the threads of a run and its scan may read at once."""
        rows = list(source.rows)
        forwards, backwards = source.read(rows), source.read(rows[::-1])
        pairs = list(zip(forwards, backwards, strict=True))
        assert [first for first, _ in pairs] == [second for _, second in pairs[::-1]]
