"""The sharded layout: parts stay where they are, an index says which row lies where."""

import json
import shutil
import threading

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, extract_with
from folders import waiting_told
from typer.testing import CliRunner

from classify import HEADS, load_features
from data import HeadstartError, open_source
from data.output.lock import locked
from extract import FeatureFile
from extract.cli import app
from extract.feature_file.diff import diff
from extract.feature_file.repair import repair
from extract.feature_file.verify import verify
from extract.feature_file.writer import merge

ROWS = 6  # in a part: 16 images make 3


@pytest.fixture
def run(tiny_recipe, tmp_path, images, monkeypatch):
    monkeypatch.setattr("extract.run.plan.PART_ROWS", ROWS)

    def run(name="out", layout="sharded", **options):
        return extract_with(open_source(images), tiny_recipe, tmp_path / name, layout=layout, **options)

    return run


@pytest.fixture
def folder(run, tmp_path):
    """A finished sharded file."""
    run()
    return tmp_path / "out"


def parts(folder):
    return sorted(path for path in folder.glob("*.h5") if path.name != "index.h5")


def same_features(one, other):
    one, other = FeatureFile(one), FeatureFile(other)
    return one.content_digest == other.content_digest and np.array_equal(
        one.features("avg_pool")[:], other.features("avg_pool")[:]
    )


def test_it_reads_as_one_file_does(folder, run, tmp_path):
    run("one.h5", "single")
    assert len(parts(folder)) == 3
    assert same_features(folder, tmp_path / "one.h5")
    assert not any(diff(folder, tmp_path / "one.h5").to_dict().values())
    assert verify(folder).sound


def test_merge_gives_the_file_of_a_run_byte_for_byte(folder, run, tmp_path):
    run("one.h5", "single")
    done = CliRunner().invoke(app, ["merge", str(folder), "-o", str(tmp_path / "merged.h5"), "--json"])
    assert json.loads(done.stdout)["rows"] == 16
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    with pytest.raises(HeadstartError, match="exists"):
        merge(folder, tmp_path / "merged.h5")


def test_a_second_run_does_nothing(folder, run, seen):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    report = run(layout=None)
    assert (report.computed, report.reused, seen) == (0, 16, [])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_grown_source_adds_parts_and_a_shrunk_one_removes_those_that_nothing_uses(
    folder, run, images, tmp_path
):
    first = parts(folder)
    draw_images(images, each=4, first=8)
    report = run()
    assert (report.computed, report.reused_from["file"]) == (8, 16)
    assert set(first) < set(parts(folder))
    shutil.rmtree(images / "blue")
    with pytest.raises(HeadstartError, match="a whole class"):
        run()
    report = run(allow_drop=True)
    assert (report.computed, report.dropped, report.before) == (0, 12, str(tmp_path / "out.before"))
    assert len(FeatureFile(tmp_path / "out.before").contents.ids) == 12
    assert len(FeatureFile(folder).contents.ids) == 12
    assert len(parts(folder)) < 5
    run("again.h5", "single")
    assert same_features(folder, tmp_path / "again.h5")


def test_an_interrupted_run_goes_on(run, tmp_path, monkeypatch):
    def cut(make, parts, replicas, source, progress):
        work = make(source=source, progress=progress)
        yield parts[0], work(parts[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="6 finished images kept"):
        run(map=cut)
    with pytest.raises(HeadstartError, match="no feature file"):
        FeatureFile(tmp_path / "out")
    report = run(layout=None)
    assert (report.computed, report.reused_from["parts"]) == (10, 6)


def test_rows_of_another_file_are_copied_into_parts(run, tmp_path, seen):
    run("one.h5", "single")
    seen.clear()
    report = run(reuse=(tmp_path / "one.h5",))
    assert (report.computed, report.reused_from["others"], seen) == (0, 16, [])
    (tmp_path / "one.h5").rename(tmp_path / "away.h5")
    assert same_features(tmp_path / "out", tmp_path / "away.h5")
    assert verify(tmp_path / "out").sound


def test_heads_train_from_shards(folder, run, tmp_path):
    run("one.h5", "single")
    shards, one = load_features(folder), load_features(tmp_path / "one.h5")
    assert shards.content_digest == one.content_digest
    heads = [HEADS["logistic"]().fit(*features.training_rows()) for features in (shards, one)]
    np.testing.assert_array_equal(*(head.predict_proba(np.asarray(one.X)) for head in heads))


def _lost(part):
    part.unlink()


def _cut(part):
    part.write_bytes(part.read_bytes()[:3000])


def _of_other_images(part):
    shutil.copy(sorted(part.parent.glob("[0-9a-f]*[0-9a-f].h5"))[-1], part)


@pytest.mark.parametrize("spoil", [_lost, _cut, _of_other_images])
def test_a_part_that_is_not_the_one_that_was_written(folder, run, spoil, tmp_path):
    """It is an error, never zeros; `verify` names it, and what `repair` drops is computed again."""
    shutil.copytree(folder, tmp_path / "sound")
    part = parts(folder)[0]
    spoil(part)
    with pytest.raises(HeadstartError, match=part.name) as caught:
        FeatureFile(folder).features("avg_pool")[:]
    assert_four_parts(str(caught.value))
    with pytest.raises(HeadstartError, match=part.name):
        merge(folder, tmp_path / "merged.h5")
    assert not (tmp_path / "merged.h5").exists()
    verdict = verify(folder)
    assert part.name in verdict.problems[0] and len(verdict.problems) == 1
    rows = len(verdict.damaged)
    assert rows in (4, 6)
    repaired = repair(folder)
    assert (repaired.kept, repaired.dropped) == (16 - rows, rows)
    assert run().computed == rows
    assert same_features(folder, tmp_path / "sound")
    assert verify(folder).sound


def test_a_folder_without_a_whole_part_is_made_anew(folder, run):
    for part in parts(folder):
        part.unlink()
    repaired = repair(folder)
    assert (repaired.kept, repaired.dropped) == (0, 16)
    assert run().computed == 16
    assert verify(folder).sound


def test_a_lost_part_is_noticed_at_opening(folder):
    parts(folder)[1].unlink()
    with pytest.raises(HeadstartError, match="missing"):
        FeatureFile(folder)


def test_a_damaged_row_is_named(folder):
    with h5py.File(parts(folder)[0], "r+") as file:
        file["features/avg_pool"][2, 3] += 1
    verdict = verify(folder)
    assert (verdict.problems, len(verdict.damaged)) == ((), 1)
    assert verdict.damaged_ids[0].endswith(".png")


def test_an_index_that_was_changed_is_noticed(folder):
    with h5py.File(folder / "index.h5", "r+") as file:
        file["labels"][0] = 1 - file["labels"][0]
    assert "content digest" in verify(folder).problems[0]
    assert repair(folder).kept == 16


def test_an_index_that_names_other_rows_is_noticed(folder):
    with h5py.File(folder / "index.h5", "r+") as file:
        file["shards/row"][:2] = file["shards/row"][:2][::-1]
    with pytest.raises(HeadstartError, match="other images"):
        FeatureFile(folder).features("avg_pool")[0]
    assert not verify(folder).sound


def test_layouts_that_do_not_fit(folder, run, tmp_path):
    run("one.h5", None)
    for name, layout, words in (
        ("out", "single", "another layout"),
        ("one.h5", "sharded", "another layout"),
        ("new", "split", "unknown layout"),
    ):
        with pytest.raises(HeadstartError, match=words) as caught:
            run(name, layout)
        assert_four_parts(str(caught.value))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.h5").write_text("mine")
    for layout, received in ((None, "received: a folder\n"), ("sharded", "a folder with other things in it")):
        with pytest.raises(HeadstartError, match=received):
            run("mine", layout)
    assert (tmp_path / "mine" / "letters.h5").read_text() == "mine"


def test_the_commands_take_a_folder(folder):
    runner = CliRunner()
    shown = runner.invoke(app, ["info", str(folder)]).stdout
    assert "16 rows, 0 rejected" in shown and "sharded" in shown
    assert "sound" in runner.invoke(app, ["verify", str(folder)]).stdout
    assert runner.invoke(app, ["diff", str(folder), str(folder)]).stdout == "no difference\n"


def test_a_merge_that_waits_for_another_run_says_so(folder, tmp_path):
    def other():
        with locked(tmp_path / "merged.h5"):
            held.set()
            told.wait(30)

    held = threading.Event()
    with waiting_told() as told:
        thread = threading.Thread(target=other)
        thread.start()
        held.wait(30)
        merge(folder, tmp_path / "merged.h5")
        thread.join()
        assert told.is_set()
