"""How other caches of features failed their users, and what ours does there: the table of docs/cache.md."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, extract_with, run_command
from PIL import Image, ImageOps

from classify import HEADS, Bundle, load_features
from data import HeadstartError, open_source
from extract import FeatureFile
from extract.feature_file.hdf5 import row_checksums
from extract.feature_file.verify import examine
from extract.feature_file.writer import write_feature_file
from extract.run import plan, worker
from extract.run.compare import compare


@pytest.fixture
def folder(tmp_path):
    """Twenty images in each of two classes."""
    return draw_images(tmp_path / "photos", each=20)


@pytest.fixture
def run(folder, small_recipe, tmp_path):
    """A run over the folder; keywords are of `extract`, `recipe` in place of the usual one."""

    def run(recipe=small_recipe, path=tmp_path / "photos.h5", source=None, **options):
        return extract_with(source or open_source(folder), recipe, path, **options)

    return run


@pytest.fixture
def file(run, tmp_path):
    """The feature file of the folder."""
    run()
    return tmp_path / "photos.h5"


def test_01_an_image_edited_at_the_same_name_and_size_is_computed_anew(run, folder, tmp_path):
    path, file = folder / "red" / "edited.bmp", tmp_path / "photos.h5"
    image = Image.open(folder / "red" / "003.png")
    image.save(path)
    run()
    row, size = FeatureFile(file).contents.ids.index("red/edited.bmp"), path.stat().st_size
    before = FeatureFile(file).features("avg_pool").copy()
    ImageOps.invert(image).save(path)
    report, after = run(), FeatureFile(file).features("avg_pool")
    assert (path.stat().st_size, report.rows, report.computed) == (size, 41, 1)
    assert (after != before).any(axis=1).nonzero()[0].tolist() == [row]


def test_02_other_weights_are_refused(run, file, small_recipe):
    before = file.read_bytes()
    with pytest.raises(HeadstartError, match="weights=" + "0" * 64) as caught:
        run(replace(small_recipe, weights="0" * 64))
    assert_four_parts(str(caught.value))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "field", [{"image_size": (48, 48)}, {"decode_scale": "dct"}, {"exif_orientation": False}]
)
def test_03_another_size_or_way_to_decode_is_refused(run, file, small_recipe, field):
    with pytest.raises(HeadstartError, match=next(iter(field))):
        run(replace(small_recipe, **field))


def test_04_names_that_share_a_stem_or_a_folder_are_rows_of_their_own(run, folder, tmp_path):
    image = Image.open(folder / "red" / "000.png")
    image.save(folder / "red" / "000.jpg")
    (folder / "blue" / "deeper").mkdir()
    image.rotate(90).save(folder / "blue" / "deeper" / "000.png")
    assert run().computed == 42
    ids = FeatureFile(tmp_path / "photos.h5").contents.ids
    assert {"red/000.png", "red/000.jpg", "blue/000.png", "blue/deeper/000.png"} <= set(ids)


def test_05_what_is_moved_or_renamed_is_not_computed_again(run, file, folder, seen):
    (folder / "red" / "000.png").rename(folder / "red" / "renamed.png")
    (folder / "blue" / "000.png").rename(folder / "red" / "from blue.png")
    moved = folder.rename(folder.with_name("elsewhere"))
    report = run(source=open_source(moved))
    assert (report.rows, report.computed, seen) == (40, 0, [])


@pytest.mark.parametrize("option", [{"threads": 1}, {"batch_size": 3}, {"replicas": 2}, {"engine": "keras"}])
def test_06_what_changes_no_feature_invalidates_none(run, file, seen, option):
    assert (run(**option).computed, seen) == (0, [])


def test_07_a_file_of_a_moment_ago_is_never_refused(run, folder, tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}.h5"
        run(path=path)
        os.utime(folder / "red" / f"{number:03d}.png")
        assert run(path=path).computed == run(path=path).computed == 0


def test_08_a_second_run_takes_its_own_cache(tmp_path):
    draw_images(tmp_path / "photos", each=5)
    small = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none")
    first, second = (run_command("extract", "run", "photos", *small, cwd=tmp_path) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert "10 rows, 10 computed" in first.stdout and "10 rows, 0 computed" in second.stdout


def test_09_a_corrupt_image_costs_itself_alone(run, folder, tmp_path):
    (folder / "blue" / "010.png").write_bytes(b"\x89PNG and then nothing")
    report = run()
    assert (report.rows, report.rejected, report.rejections[0][0]) == (39, 1, "blue/010.png")


def test_10_a_worker_without_memory_leaves_no_hole(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "PART_ROWS", 16)

    def short_of_memory(make, parts, replicas, source, progress):
        work = make(source=source, progress=progress)
        for number, part in enumerate(parts):
            yield part, MemoryError("no memory") if number == 1 else work(part)

    with pytest.raises(HeadstartError, match=r"1 part could not be computed(.|\n)*no memory"):
        run(map=short_of_memory)
    assert not (tmp_path / "photos.h5").exists()
    report = run()
    assert (report.rows, report.computed, report.reused_from["parts"]) == (40, 16, 24)


def test_10_memory_that_runs_out_here_is_one_message(run, monkeypatch):
    def starved(*words):
        raise MemoryError("unable to allocate 9 GiB")

    with monkeypatch.context() as patched:
        patched.setattr(worker.PartWorker, "stream", starved)
        with pytest.raises(HeadstartError, match="too little memory") as caught:
            run()
    assert_four_parts(str(caught.value))
    assert run().computed == 40


def test_11_two_workers_leave_the_bytes_of_one(run, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "PART_ROWS", 8)

    def two_workers(make, parts, replicas, source, progress):
        workers = threading.local()

        def work(part):
            if not hasattr(workers, "mine"):
                workers.mine = make(source=source, progress=progress)
            return part, workers.mine(part)

        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(work, parts)

    run()
    run(path=tmp_path / "two.h5", map=two_workers)
    assert (tmp_path / "two.h5").read_bytes() == (tmp_path / "photos.h5").read_bytes()


def test_12_an_upgrade_reads_the_file_or_says_why_not(run, file, folder, monkeypatch):
    """What older versions wrote is read (`test_files_of_0_1.py`); the probe image decides of new rows."""
    newer, opened = shutil.copy(file, file.with_name("newer.h5")), worker.open_engine
    with h5py.File(newer, "r+") as changed:
        changed.attrs["format_version"] = 99
    with pytest.raises(HeadstartError, match="of another version of the format"):
        run(path=newer)

    def drifted(*words):
        engine = opened(*words)
        start = engine.start
        engine.start = lambda batch: partial(scaled, start(batch))
        return engine

    def scaled(finish):
        return [rows * 1.01 for rows in finish()]

    monkeypatch.setattr(worker, "open_engine", drifted)
    assert run().computed == 0
    draw_images(folder, ("red",), each=1, first=90)
    with pytest.raises(HeadstartError, match="this machine computes other features"):
        run()


def test_13_heads_need_no_image_once_the_file_is_there(file, folder, tmp_path):
    shutil.rmtree(folder)
    features = load_features(file)
    bundle = Bundle.of(HEADS["logistic"]().fit(*features.training_rows()), features, "logistic")
    bundle.save(tmp_path / "head")
    scores = Bundle.load(tmp_path / "head").evaluate(features, "train")
    assert scores["accuracy"]["value"] == 1
    done = run_command("classify", "evaluate", "head", "photos.h5", "--split", "train", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_14_one_feature_in_every_row_is_found(file, folder, tmp_path):
    """The checksums of such a file fit: nothing but the images can tell."""
    stored = FeatureFile(file)
    assert len(np.unique(stored.features("avg_pool"), axis=0)) == 40
    rows = [(_FirstRowAlone(file), row) for row in range(40)]
    write_feature_file(tmp_path / "one.h5", stored.contents, rows)
    assert examine(tmp_path / "one.h5").sound
    found = compare(tmp_path / "one.h5", open_source(folder), sample=10)
    assert not found.sound and len(found.damaged) == 9


class _FirstRowAlone(FeatureFile):
    """A file whose rows all have the feature of the first one, with checksums that fit."""

    def __init__(self, path):
        super().__init__(path)
        self.checksums = {"avg_pool": row_checksums(self.features("avg_pool"), self.digests)}

    def features(self, output):
        return np.repeat(super().features(output)[:1], len(self.digests), axis=0)


def test_15_entries_that_no_source_holds_are_told_and_kept_once(run, folder, tmp_path):
    run()
    (folder / "red" / "003.png").unlink()
    report = run()
    assert (report.rows, report.dropped, report.before) == (39, 1, str(tmp_path / "photos.h5.before"))
    assert FeatureFile(report.before).contents.ids == ("red/003.png",)
    shutil.rmtree(folder / "blue")
    with pytest.raises(HeadstartError, match="20 of 39 rows would be dropped"):
        run()
    report = run(allow_drop=True)
    assert (report.rows, report.dropped, len(FeatureFile(report.before).contents.ids)) == (19, 20, 21)
    assert run().dropped == 0


def test_16_one_image_more_is_one_forward_pass(run, small_recipe, tmp_path, seen):
    folder = draw_images(tmp_path / "thousand", each=500)
    run(source=open_source(folder), path=tmp_path / "thousand.h5")
    assert sum(seen) == 1000
    draw_images(folder, ("red",), each=1, first=900)
    seen.clear()
    report = run(source=open_source(folder), path=tmp_path / "thousand.h5")
    assert (report.rows, report.computed, seen) == (1001, 1, [1])
