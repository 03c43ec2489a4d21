"""Runs: only what is not known is computed, nothing is lost, the file says what happened."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, extract_with
from PIL import Image

from data import HeadstartError, Source, open_source
from data.errors import UsageError
from data.sources.arrays import from_arrays
from data.splits import SPLIT_NAMES, hashed_split
from extract import FeatureFile, Options, extract
from extract.commands.run import report_lines
from extract.feature_file.verify import verify


@pytest.fixture
def run(tiny_recipe, tmp_path, images):
    def run(source=images, recipe=tiny_recipe, **options):
        source = source if hasattr(source, "rows") else open_source(source)
        return extract_with(source, recipe, tmp_path / "out.h5", **options)

    return run


@pytest.fixture
def file(tmp_path):
    return lambda: FeatureFile(tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["threads", "batch_size", "replicas"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_numbers_of_options_are_whole_and_above_0(name, value):
    with pytest.raises(UsageError, match=f"{name} must be None or a whole number, 1 or more"):
        Options(**{name: value})


def test_a_first_run(run, file, images, tmp_path):
    report = run()
    contents = file().contents
    assert (report.rows, report.computed, report.reused, report.rejected) == (16, 16, 0, 0)
    assert report.recipe_key == contents.recipe.key
    assert list(contents.ids) == sorted(contents.ids, key=str.encode)
    assert [contents.class_names[label] for label in contents.labels] == [name[:-8] for name in contents.ids]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out.h5"]


def test_rows_are_hashed_into_splits(run, file):
    run()
    contents = file().contents
    expected = [SPLIT_NAMES.index(hashed_split(digest.tobytes())) for digest in contents.digests]
    assert contents.splits.tolist() == expected


def test_rows_belong_to_their_images(run, file, images, tiny_recipe):
    """Each stored feature is that of the image with the row's name, computed alone."""
    from data.images import load_image
    from extract.engines.engine import open_engine

    run(batch_size=5)
    engine, features = open_engine("keras", tiny_recipe), file().features("avg_pool")
    for row, name in enumerate(file().contents.ids):
        pixels = load_image((images / name).read_bytes(), tiny_recipe.image_size)
        (alone,) = engine(pixels[np.newaxis])
        np.testing.assert_allclose(features[row], alone[0], atol=1e-5 * np.abs(alone).max())


def test_a_second_run_does_nothing(run, file, seen, tmp_path):
    run()
    before, stat = (tmp_path / "out.h5").read_bytes(), os.stat(tmp_path / "out.h5")
    seen.clear()
    report = run()
    assert (report.computed, report.reused, seen) == (0, 16, [])
    assert (tmp_path / "out.h5").read_bytes() == before
    assert os.stat(tmp_path / "out.h5").st_mtime_ns == stat.st_mtime_ns


def _add(images):
    draw_images(images, each=2, first=8)


def _rename(images):
    (images / "red" / "000.png").rename(images / "red" / "zzz.png")


def _move_to_another_class(images):
    (images / "red" / "000.png").rename(images / "blue" / "was_red.png")


def _remove(images):
    (images / "red" / "000.png").unlink()


def _replace(images):
    shutil.copy(
        draw_images(images.parent / "more", each=1, first=50) / "red" / "050.png", images / "red" / "000.png"
    )


def _copy(images):
    shutil.copy(images / "red" / "000.png", images / "red" / "twin.png")


def _swap(images):
    one, two = images / "red" / "000.png", images / "blue" / "000.png"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def _touch(images):
    for path in images.rglob("*.png"):
        os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("change", "computed", "rows"),
    [
        (_add, 4, 20),
        (_rename, 0, 16),
        (_move_to_another_class, 0, 16),
        (_remove, 0, 15),
        (_replace, 1, 16),
        (_copy, 0, 17),
        (_swap, 0, 16),
        (_touch, 0, 16),
    ],
)
def test_a_changed_source_computes_only_new_bytes(
    run, file, seen, images, tiny_recipe, tmp_path, change, computed, rows
):
    """And the file is the same, byte for byte up to the last digit, as one made afresh."""
    run()
    seen.clear()
    change(images)
    report = run()
    assert (report.computed, sum(seen), report.rows, report.reused) == (
        computed,
        computed,
        rows,
        rows - computed,
    )
    extract(open_source(images), tiny_recipe, tmp_path / "fresh.h5")
    fresh = FeatureFile(tmp_path / "fresh.h5")
    assert file().contents.same_as(fresh.contents)
    scale = np.abs(fresh.features("avg_pool")).max()
    np.testing.assert_allclose(file().features("avg_pool"), fresh.features("avg_pool"), atol=1e-5 * scale)


def test_equal_images_are_computed_once_and_stored_twice(run, file, images, seen):
    _copy(images)
    report = run()
    assert (report.rows, report.computed, sum(seen)) == (17, 16, 16)
    contents = file().contents
    twins = [contents.ids.index(f"red/{name}.png") for name in ("000", "twin")]
    np.testing.assert_array_equal(*(file().features("avg_pool")[row] for row in twins))


def test_moving_the_source_changes_no_byte(run, images, tmp_path):
    run()
    before = (tmp_path / "out.h5").read_bytes()
    moved = images.rename(tmp_path / "moved")
    assert run(moved).computed == 0
    assert (tmp_path / "out.h5").read_bytes() == before


def test_the_batch_size_changes_no_feature(run, file, tiny_recipe, images, tmp_path):
    run(batch_size=3)
    extract(open_source(images), tiny_recipe, tmp_path / "other.h5", Options(batch_size=7))
    one, other = (FeatureFile(tmp_path / name).features("avg_pool") for name in ("out.h5", "other.h5"))
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())


def test_rows_of_both_engines_stand_in_one_file(run, file, images):
    run(engine="keras")
    draw_images(images, each=2, first=8)
    assert run(engine="openvino").computed == 4
    contents = file().contents
    assert [entry.engine for entry in contents.engines] == ["keras", "openvino"]
    new = [name.endswith(("008.png", "009.png")) for name in contents.ids]
    assert contents.origins.tolist() == [int(added) for added in new]
    assert verify(file().path).sound


def test_threads_and_batch_size_are_no_part_of_the_recipe(run, file):
    run(engine="openvino", threads=1, batch_size=3)
    first = file().path.read_bytes()
    file().path.unlink()
    run(engine="openvino", threads=2, batch_size=16)
    assert file().path.read_bytes() == first


def test_several_layers_have_data_sets_of_their_own(run, file, tiny_recipe):
    run(recipe=replace(tiny_recipe, layers=("conv1_relu", "avg_pool")))
    assert {name: file().features(name).shape for name in file().outputs} == {
        "avg_pool": (16, 1024),
        "conv1_relu": (16, 32),
    }


def test_another_recipe_is_refused_with_the_fields_that_differ(run, tiny_recipe, tmp_path):
    run()
    before = (tmp_path / "out.h5").read_bytes()
    with pytest.raises(HeadstartError) as caught:
        run(recipe=replace(tiny_recipe, image_size=(48, 48), exif_orientation=False))
    text = str(caught.value)
    assert_four_parts(text)
    assert "image_size=(48, 48), exif_orientation=False" in text
    assert "image_size=(32, 32), exif_orientation=True" in text
    assert (tmp_path / "out.h5").read_bytes() == before


def test_a_file_that_is_no_feature_file_is_not_overwritten(run, tmp_path):
    (tmp_path / "out.h5").write_text("my diary")
    with pytest.raises(HeadstartError, match="not a feature file"):
        run()
    assert (tmp_path / "out.h5").read_text() == "my diary"


def test_broken_images_become_rejected_rows_and_harm_no_other(run, file, images, tmp_path):
    run()
    good = file().features("avg_pool").copy()
    (tmp_path / "out.h5").unlink()
    (images / "red" / "004b.png").write_bytes((images / "red" / "004.png").read_bytes()[:200])
    (images / "blue" / "000a.jpg").write_text("<html>")
    report = run(max_bad="20%", batch_size=4)
    assert (report.rows, report.rejected) == (16, 2)
    assert [name for name, _ in report.rejections] == ["blue/000a.jpg", "red/004b.png"]
    assert all(reason for _, reason in report.rejections)
    np.testing.assert_allclose(file().features("avg_pool"), good, atol=1e-5 * np.abs(good).max())
    again = run(max_bad="20%")
    assert (again.computed, again.rejected, again.rejections) == (0, 2, report.rejections)


@pytest.mark.parametrize(("max_bad", "allowed"), [("10%", False), ("1", False), (2, True), ("12%", True)])
def test_too_many_broken_images_end_the_run_and_lose_nothing(run, images, tmp_path, max_bad, allowed, seen):
    for name in ("x", "y"):
        (images / "red" / f"{name}.png").write_text(name)
    if allowed:
        assert run(max_bad=max_bad).rejected == 2
        return
    with pytest.raises(HeadstartError) as caught:
        run(max_bad=max_bad)
    assert_four_parts(str(caught.value))
    assert "red/x.png" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()
    seen.clear()
    assert (run(max_bad=2).computed, seen) == (0, [])
    assert not (tmp_path / "out.h5.parts").exists()


def test_a_source_of_broken_images_alone_writes_nothing(run, tmp_path):
    (tmp_path / "bad" / "red").mkdir(parents=True)
    (tmp_path / "bad" / "red" / "x.png").write_text("x")
    with pytest.raises(HeadstartError, match="at least one image"):
        run(tmp_path / "bad", max_bad="100%")
    assert not (tmp_path / "out.h5").exists()


def test_files_that_a_csv_lists_and_that_are_not_there_are_rejected_rows(run, file, images):
    names = sorted(f"{path.parent.name}/{path.name}" for path in images.rglob("*.png"))
    lines = [f"{name},{name.split('/')[0]}" for name in [*names, "red/gone.png"]]
    (images / "list.csv").write_text("\n".join(["path,label", *lines, ""]))
    with pytest.raises(HeadstartError, match=r"1 of 17 images were rejected.*(\n.*)*red/gone.png"):
        run(images / "list.csv", max_bad=0)
    report = run(images / "list.csv")
    assert (report.rows, report.rejected, [row.id for row in file().contents.rejected]) == (
        *(16, 1),
        ["red/gone.png"],
    )
    shutil.copy(images / "red/000.png", images / "red/gone.png")
    again = run(images / "list.csv")
    assert (again.rows, again.computed, again.rejected) == (17, 0, 0)


def test_rows_without_a_label_and_labels_that_contradict_are_told(run, images):
    (images / "blue/copy.png").write_bytes((images / "red/000.png").read_bytes())
    report = run()
    assert report.unlabelled == 0
    assert [text for text in report.warnings if "several labels: blue/copy.png (blue) = red/000.png" in text]
    labels = ["blue/000.png,0", "blue/001.png,-1", "red/000.png,1", "blue/copy.png,-1"]
    (images / "list.csv").write_text("\n".join(["path,label", *labels, ""]))
    report = run(images / "list.csv", allow_drop=True)
    assert (report.rows, report.unlabelled) == (4, 2)
    assert "2 images with the label -1: unknown" in report.warnings[0]
    assert "without a label: 2 rows" in report_lines(report.to_dict())


@pytest.mark.parametrize("max_bad", ["many", "-1", "-5%"])
def test_max_bad_that_is_no_number(run, max_bad):
    with pytest.raises(HeadstartError) as caught:
        run(max_bad=max_bad)
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize("change", ["vanishes", "changes"])
def test_an_image_that_changes_while_the_run_reads_it(run, file, images, change):
    """It is rejected for now and tried again by the next run; the others are kept."""

    class Changing(Source):
        def __init__(self, source):
            self.class_names, self.rows, self.warnings = source.class_names, source.rows, source.warnings
            self.describe, self._source = source.describe, source

        def read(self, rows):
            yield from list(self._source.read(rows))
            victim = images / "red" / "003.png"
            if change == "vanishes":
                victim.unlink(missing_ok=True)
            else:
                shutil.copy(images / "red" / "005.png", victim)

    report = run(Changing(open_source(images)))
    assert (report.rows, report.rejected) == (15, 1)
    assert report.rejections[0][0] == "red/003.png"
    assert "next run tries it again" in report.rejections[0][1]
    again = run()
    assert (again.rows, again.rejected) == ((15, 0) if change == "vanishes" else (16, 0))


def test_unreadable_files_are_tried_again(run, images):
    victim = images / "red" / "003.png"
    moved = victim.rename(images.parent / "elsewhere.png")
    victim.symlink_to(moved)
    source = open_source(images)
    moved.rename(images.parent / "away.png")
    report = run(source)
    assert report.rejections == (("red/003.png", "cannot be read: No such file or directory"),)
    (images.parent / "away.png").rename(moved)
    assert run().rejected == 0


def test_one_class_or_one_image_is_extracted_with_a_warning(run, images, tmp_path):
    shutil.rmtree(images / "red")
    assert any("fewer than two classes" in text for text in run().warnings)
    (tmp_path / "out.h5").unlink()
    for path in sorted((images / "blue").iterdir())[1:]:
        path.unlink()
    report = run()
    assert report.rows == 1
    assert any("one image" in text for text in report.warnings)


def test_groups_stay_in_one_split(run, file, images, tmp_path):
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    lines = [f"{name},{name.split('/')[0]},g{number // 4}" for number, name in enumerate(names)]
    (images / "list.csv").write_text("path,label,group\n" + "\n".join(lines))
    run(images / "list.csv")
    contents = file().contents
    assert len(set(zip(contents.groups, contents.splits.tolist(), strict=True))) == 4


def test_arrays_have_digests_of_their_npy_bytes(run, file):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    run(from_arrays(pixels, ["x", "y"] * 3))
    first = file().contents.digests.copy()
    pixels[0, 0, 0] ^= 1
    report = run(from_arrays(pixels, ["x", "y"] * 3))
    assert report.computed == 1
    assert (file().contents.digests != first).any(axis=1).tolist() == [True] + [False] * 5


def test_a_map_may_answer_in_any_order(run, file, tmp_path, monkeypatch):
    """As a cluster does: parts come back unordered, from workers that only write part files."""
    monkeypatch.setattr("extract.run.plan.PART_ROWS", 3)

    def backwards(make, parts, replicas, source, progress):
        work = make(source=source, progress=progress)
        for part in reversed(parts):
            yield part, work(part)

    report = run(map=backwards)
    assert (report.rows, report.computed) == (16, 16)


def test_dim_images_of_all_parts_are_in_the_report_and_said_when_the_first_is_met(
    run, images, monkeypatch, caplog
):
    monkeypatch.setattr("extract.run.plan.PART_ROWS", 3)
    for number in (0, 2, 7):
        Image.fromarray(np.full((24, 24), 4000 + number, np.uint16)).save(images / "red" / f"00{number}.png")
    names = "nearly black: red/000.png, red/002.png, red/007.png; scale"
    assert sum(names in text for text in run().warnings) == 1
    (said,) = [record.getMessage() for record in caplog.records if "nearly black" in record.getMessage()]
    assert "red/000.png" in said and "red/007.png" not in said


def test_a_part_that_fails_is_reported_and_the_rest_is_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr("extract.run.plan.PART_ROWS", 6)

    def failing_once(make, parts, replicas, source, progress):
        work = make(source=source, progress=progress)
        yield parts[0], ZeroDivisionError("lost node")
        for part in parts[1:]:
            yield part, work(part)

    with pytest.raises(HeadstartError, match=r"1 part could not be computed") as caught:
        run(map=failing_once)
    assert_four_parts(str(caught.value))
    assert "blue/000.png to blue/005.png: lost node" in str(caught.value)
    assert "10 finished images kept" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()
    assert run().computed == 6


_SLOW = """
import sys, time
from extract.engines import pipeline
finished = pipeline._finished
def slow(*args):
    time.sleep(0.8)
    return finished(*args)
pipeline._finished = slow
import extract.run.plan
extract.run.plan.PART_ROWS = 4
from extract.cli import app
app(sys.argv[1:])
"""


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_is_killed_goes_on_where_it_was(run, file, images, tmp_path, sign, code):
    words = ["run", images, "-o", tmp_path / "out.h5", "--backbone", "mobilenet", "--image-size", "32"]
    words += ["--weights", "none", "--batch-size", "2"]
    command = [sys.executable, "-c", _SLOW, *map(str, words)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    how = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": heard}
    with subprocess.Popen(command, **how) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("out.h5.parts/*.h5"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(sign)
        told = process.stderr.read()
    assert process.returncode == code, told
    assert not (tmp_path / "out.h5").exists()
    if sign == signal.SIGINT:
        assert "the same command goes on from there" in told
        assert "Traceback" not in told
    report = run(batch_size=2)
    assert 8 <= report.reused < 16
    assert report.computed == 16 - report.reused
    assert not (tmp_path / "out.h5.parts").exists()
    first = (tmp_path / "out.h5").read_bytes()
    (tmp_path / "out.h5").unlink()
    run(batch_size=2)
    assert (tmp_path / "out.h5").read_bytes() == first


def test_a_damaged_part_is_computed_again(run, tmp_path):
    (tmp_path / "out.h5.parts").mkdir()
    (tmp_path / "out.h5.parts" / "half.h5").write_bytes(b"\x89HDF\r\n\x1a\n half")
    assert run().computed == 16
    assert FeatureFile(tmp_path / "out.h5").contents.ids


_MEASURED = """
import resource, sys
import numpy as np
from data.sources.arrays import npy_bytes
from data.sources.source import Row, Source
from extract import Recipe, extract

class Drawn(Source):
    class_names, warnings = ("a", "b"), ()
    rows = [Row(f"{number:06d}", number % 2) for number in range(int(sys.argv[1]))]

    def describe(self):
        return {"kind": "drawn"}

    def read(self, rows):
        for row in rows:
            yield npy_bytes(np.random.default_rng(int(row.id)).integers(0, 256, (64, 64, 3), dtype=np.uint8))

recipe = Recipe.for_backbone("mobilenet", weights="none", image_size=32)
assert extract(Drawn(), recipe, sys.argv[2]).computed == len(Drawn.rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("images", [4000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_memory_stays_flat_however_many_images(images, tiny_recipe, tmp_path):
    peaks = []
    for count in (images // 10, images):
        command = [sys.executable, "-c", _MEASURED, str(count), str(tmp_path / f"{count}.h5")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_names_as_long_as_file_systems_allow_and_in_any_script(run, file, images):
    name = "ü猫" * 50 + ".png"  # 254 bytes
    deep = images / "red" / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    for target in (images / "red" / name, deep / name):
        shutil.copy(images / "red/000.png", target)
    report = run()
    assert (report.rows, report.computed) == (18, 16)
    assert f"red/{'d' * 200}/{'e' * 200}/{name}" in file().contents.ids
    assert verify(file().path).sound


@pytest.fixture
def steps(monkeypatch):
    """Count the steps of a run on the way of its images."""
    import extract.run.extract

    counts = Counter()

    def counted(name, step):
        def counting(*args):
            counts[name] += 1
            return step(*args)

        return counting

    for name in ("survey", "scan_source", "assemble", "write_feature_file"):
        monkeypatch.setattr(extract.run.extract, name, counted(name, getattr(extract.run.extract, name)))
    yield counts
    assert counts


def test_each_step_is_taken_once(run, images, steps):
    once = {"survey": 1, "scan_source": 1, "assemble": 1, "write_feature_file": 1}
    run()
    assert steps == once
    steps.clear()
    run()
    assert steps == {"survey": 1, "scan_source": 1, "assemble": 1}
    steps.clear()
    (images / "red" / "000.png").rename(images / "red" / "renamed.png")
    assert run().computed == 0 and steps == once


def test_a_run_that_ended_meanwhile_is_seen(run, steps, monkeypatch):
    import extract.run.extract

    scan = extract.run.extract.scan_source

    def scanning(*args):
        monkeypatch.setattr(extract.run.extract, "scan_source", scan)
        assert run().computed == 16  # another run writes the whole file just now
        steps.clear()
        return scan(*args)

    monkeypatch.setattr(extract.run.extract, "scan_source", scanning)
    report = run()
    assert (report.computed, report.reused_from["file"]) == (0, 16)
    assert steps == {"survey": 1, "scan_source": 1, "assemble": 1}


@pytest.mark.parametrize("keyword", [option.name for option in fields(Options)])
def test_a_keyword_of_before_names_its_new_place(run, tiny_recipe, tmp_path, keyword):
    with pytest.raises(TypeError, match=rf"Options\({keyword}=\.\.\.\)"):
        extract("photos", tiny_recipe, tmp_path / "out.h5", **{keyword: None})


def test_what_was_rejected_for_want_of_tensorflow_is_tried_again_where_it_is(run, file, images, monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'tensorflow'")

    Image.new("CMYK", (40, 40), (9, 99, 9, 0)).save(images / "red" / "cmyk.jpg")
    (images / "blue" / "text.png").write_text("no image")
    with monkeypatch.context() as patched:
        patched.setattr("data.images._decode_with_tensorflow", missing)
        run(max_bad=2)
    reasons = {each.id: each.reason for each in file().contents.rejected}
    assert "TensorFlow, which is not installed" in reasons["red/cmyk.jpg"]
    report = run(max_bad=2)
    assert (report.computed, report.rows) == (1, 17)
    assert [each.id for each in file().contents.rejected] == ["blue/text.png"]
