"""Rows that leave a feature file are counted, kept, and many at once refused."""

import hashlib
import json
import os
import shutil
from functools import partial

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts, draw_images
from numpy_engine import RECIPE, arrays
from typer.testing import CliRunner

from data import HeadstartError, open_source
from data.images import ImageError
from data.output import atomic as output
from data.sources.arrays import from_arrays
from extract import FeatureFile, Options, extract
from extract.cli import app
from extract.engines import pipeline
from extract.feature_file.digests import digest_array, split_digests
from extract.feature_file.verify import verify
from extract.run.forecast import preview
from extract.run.leaving import ComingRows, leaving

A, B, C, D, E = (letter * 32 for letter in (b"A", b"B", b"C", b"D", b"E"))
PRESENT = [("a", A, "cat"), ("b", B, "cat"), ("c", C, "dog"), ("d", D, "dog")]


def decided(present, staying, spare=()):
    return leaving(ComingRows.of(present), ComingRows.of(staying), digest_array(sorted(spare)))


@pytest.mark.parametrize(
    ("staying", "dropped", "replaced", "classes", "answer"),
    [
        (PRESENT, [], [], [], "nothing"),
        ([*PRESENT, ("e", E, "dog")], [], [], [], "nothing"),
        ([("z", A, "cat"), ("b", B, "cat"), ("y", C, "dog"), ("x/d", D, "dog")], [], [], [], "nothing"),
        ([("a", B, "cat"), ("b", A, "cat"), ("c", C, "dog"), ("d", D, "dog")], [], [], [], "nothing"),
        ([("a", A, "x"), ("b", B, ""), ("c", C, "x"), ("d", D, "x")], [], [], [], "nothing"),
        (PRESENT[:3], ["d"], [], [], "some"),
        ([*PRESENT[:3], ("d", E, "dog")], [], ["d"], [], "some"),
        ([*PRESENT[:3], ("d", C, "dog")], [], ["d"], [], "some"),
        (PRESENT[:2], ["c", "d"], [], ["dog"], "classes"),
        ([*PRESENT[:2], ("c", E, "cat")], ["d"], ["c"], ["dog"], "classes"),
        ([*PRESENT[:2], ("e", E, "dog")], ["c", "d"], [], [], "some"),
        (PRESENT[::2], ["b", "d"], [], [], "some"),
        ([*PRESENT[:2], ("c", E, "dog"), ("d", E, "dog")], [], ["c", "d"], [], "some"),
        (PRESENT[:1], ["b", "c", "d"], [], ["dog"], "most"),
        ([PRESENT[0], ("b", E, "cat"), ("c", E, "dog")], ["d"], ["b", "c"], [], "most"),
        ([("e", E, "fox")], ["a", "b", "c", "d"], [], ["cat", "dog"], "all"),
        ([(name, E, label) for name, _, label in PRESENT], [], ["a", "b", "c", "d"], [], "all"),
        ([], ["a", "b", "c", "d"], [], ["cat", "dog"], "all"),
    ],
    ids=[
        "same",
        "added",
        "renamed",
        "swapped",
        "labelled anew",
        "one gone",
        "replaced",
        "replaced by a copy",
        "a class",
        "a class whose names others take",
        "a class of other images",
        "half",
        "a class replaced",
        "most",
        "most with those replaced",
        "another source",
        "another source of the same names",
        "nothing left",
    ],
)
def test_what_leaves_and_whether_it_may(staying, dropped, replaced, classes, answer):
    found = decided(PRESENT, staying)
    names = [[PRESENT[row][0] for row in rows] for rows in (found.dropped, found.replaced)]
    assert (names, list(found.classes), found.answer) == ([dropped, replaced], classes, answer)
    assert bool(found.refusal) == (answer in ("classes", "most", "all"))


def test_of_equal_images_as_many_stay_as_there_are_rows():
    twins = [("a", A, ""), ("b", A, ""), ("c", A, "")]
    assert decided(twins, [("b", A, "x"), ("z", A, "x")]).dropped == (2,)
    assert decided(twins, [("b", A, "x")]).classes == ()  # an unknown label is no class


def test_images_of_parts_count_and_forbid_nothing():
    found = decided([], [("a", A, "")], spare={A, B})
    assert (found.spare, found.lost, found.answer, found.refusal) == ((B,), 1, "some", "")
    assert decided([("b", B, "cat")], [("b", B, "cat")], spare={B}).spare == ()


@pytest.fixture
def path(numpy_backbone, tmp_path):
    extract(arrays(), RECIPE, tmp_path / "out.h5", Options(batch_size=16))
    return tmp_path / "out.h5"


def some(count, first=0):
    """The first arrays alone, or others."""
    return from_arrays(arrays(max(count, 2), first).images[:count], ["cat", "dog"] * (count // 2))


def known(*paths):
    return {digest for path in paths if path.exists() for digest in split_digests(FeatureFile(path).digests)}


def features_of(path):
    file = FeatureFile(path)
    rows = np.array(file.features("avg_pool"))
    labels = file.contents.classes()
    return {
        digest: (rows[row].tobytes(), labels[row], file.contents.splits[row])
        for row, digest in enumerate(split_digests(file.digests))
    }


@pytest.mark.parametrize("source", [some(2), some(128, first=5)], ids=["fewer", "other images"])
def test_many_at_once_are_refused_before_anything_is_computed(path, source):
    before = path.read_bytes()
    with pytest.raises(HeadstartError) as caught:
        extract(source, RECIPE, path, map=None)
    assert_four_parts(str(caught.value))
    assert "126 of 128 rows would be dropped" in str(caught.value) or "128 replaced" in str(caught.value)
    assert "--allow-drop" in str(caught.value)
    assert path.read_bytes() == before
    assert sorted(found.name for found in path.parent.iterdir()) == ["out.h5"]


def test_a_class_that_would_go_is_named(path):
    cats = from_arrays(arrays().images[::2], ["cat"] * 64)
    with pytest.raises(HeadstartError, match=r"all of dog\)"):
        extract(cats, RECIPE, path)


def test_rows_that_leave_are_kept_once_and_taken_back(path):
    first, before = features_of(path), path.with_name("out.h5.before")
    report = extract(some(100), RECIPE, path)
    assert (report.dropped, report.replaced, report.before) == (28, 0, str(before))
    report = extract(some(96), RECIPE, path)
    assert (report.dropped, len(known(before)), known(path) & known(before)) == (4, 32, set())
    assert {**features_of(path), **features_of(before)} == first
    assert verify(before).sound
    report = extract(arrays(), RECIPE, path, Options(reuse=[before]))
    assert (report.computed, report.reused_from["others"], report.dropped) == (0, 32, 0)
    assert features_of(path) == first


def test_replaced_images_are_counted_and_kept(path):
    before, source = path.with_name("out.h5.before"), arrays()
    for _ in range(2):
        source.images[7] ^= 1
        source.images[8] += 1
        report = extract(source, RECIPE, path)
        assert (report.computed, report.dropped, report.replaced) == (2, 0, 2)
    names = FeatureFile(before).contents.ids
    assert [name[:8] for name in names] == ["00000007"] * 2 + ["00000008"] * 2
    assert verify(before).sound


def test_going_to_and_fro_computes_nothing_twice(path):
    """Rows come back from the very file that is written anew in the same run."""
    before, first = path.with_name("out.h5.before"), features_of(path)
    extract(some(128, first=5), RECIPE, path, Options(allow_drop=True))
    second = features_of(path)
    for wanted, source in ((first, arrays()), (second, some(128, first=5)), (first, arrays())):
        assert extract(source, RECIPE, path, Options(allow_drop=True, reuse=[before])).computed == 0
        assert features_of(path) == wanted
        assert features_of(before).items() >= (first.items() | second.items()) - wanted.items()


def test_rows_of_an_interrupted_run_on_another_source_are_kept(numpy_backbone, tmp_path):
    def cut(make, parts, replicas, source, progress):
        work = make(source=source, progress=progress)
        yield parts[0], work(parts[0])
        raise KeyboardInterrupt

    path, before = tmp_path / "out.h5", tmp_path / "out.h5.before"
    with pytest.raises(KeyboardInterrupt):
        extract(arrays(), RECIPE, path, map=cut)
    report = extract(some(16, first=5), RECIPE, path)
    assert (report.rows, report.dropped, len(known(before))) == (16, 16, 16)
    assert not (tmp_path / "out.h5.parts").exists()
    assert extract(arrays(), RECIPE, tmp_path / "new.h5", Options(reuse=[before])).computed == 112


def test_a_file_that_vanishes_or_breaks_leaves(numpy_backbone, tmp_path, monkeypatch):
    """Known before: it is not there. Known after: it cannot be decoded any more."""

    def decode(data, size, **_):
        if data.startswith(b"text"):
            raise ImageError("not an image")
        return np.resize(np.frombuffer(data[-60:], np.uint8), (*size, 3)).astype(np.float32)

    monkeypatch.setattr(pipeline, "load_image", decode)
    images = draw_images(tmp_path / "images", each=4)
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    lines = [f"{name},{name.split('/')[0]}" for name in names]
    (images / "list.csv").write_text("path,label\n" + "\n".join(lines))
    extract(open_source(images / "list.csv"), RECIPE, tmp_path / "out.h5")
    source = open_source(images / "list.csv")
    (images / names[0]).unlink()
    (images / names[1]).write_text("text")
    report = extract(source, RECIPE, tmp_path / "out.h5", Options(max_bad=2))
    assert (report.rows, report.rejected, report.dropped) == (6, 2, 2)
    for name in names[2:4]:
        (images / name).write_text("text " + name)
    with pytest.raises(HeadstartError, match="a whole class") as caught:
        extract(source, RECIPE, tmp_path / "out.h5", Options(max_bad=4))
    assert "finished image" in str(caught.value)
    assert len(FeatureFile(tmp_path / "out.h5").contents.ids) == 6


class Cut(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("layout", ["single", "sharded"])
def test_a_kill_at_any_moment_loses_no_row(path, layout, monkeypatch, tmp_path):
    """Each row is in the file or in what is kept of it, whichever sync or rename was the last."""
    done, moment = False, 0
    while not done:
        folder = tmp_path / str(moment)
        folder.mkdir()
        target, kept, steps = folder / "x", folder / "x.before", iter(range(moment))
        extract(arrays(), RECIPE, target, Options(reuse=[path], layout=layout))
        extract(some(128, first=5), RECIPE, target, Options(allow_drop=True))
        everything = known(target, kept)

        def step(real, *words, steps=steps):
            if next(steps, None) is None:
                raise Cut
            return real(*words)

        sync, replace = output.sync, os.replace
        with monkeypatch.context() as patched:
            patched.setattr(output, "sync", lambda *words: step(sync, *words))  # noqa: B023
            patched.setattr(os, "replace", lambda *words: step(replace, *words))  # noqa: B023
            try:
                extract(arrays(), RECIPE, target, Options(allow_drop=True, reuse=[kept]))
                done = True
            except Cut:
                assert known(target, kept) == everything and len(everything) == 256
        assert extract(arrays(), RECIPE, target, Options(allow_drop=True, reuse=[kept])).rows == 128
        assert known(target, kept) == everything
        moment += 1
    assert moment > 6


def test_what_is_no_file_of_kept_rows_is_not_overwritten(path):
    before = path.with_name("out.h5.before")
    before.write_text("my notes")
    with pytest.raises(HeadstartError, match="not a feature file"):
        extract(some(100), RECIPE, path)
    assert before.read_text() == "my notes"
    assert len(FeatureFile(path).contents.ids) == 128


def name_arithmetic(path, arithmetic: str) -> None:
    """Let a feature file say that its rows were computed in this arithmetic."""
    with h5py.File(path, "r+") as file:
        engines = json.loads(file.attrs["engines"])
        file.attrs["engines"] = json.dumps([{**each, "arithmetic": arithmetic} for each in engines])


@pytest.mark.parametrize(("kept", "refused"), [("int8, new", False), ("int8, old", True)])
def test_rows_do_not_leave_for_those_of_another_arithmetic(path, kept, refused):
    before = path.with_name("out.h5.before")
    extract(some(100), RECIPE, path)
    name_arithmetic(path, "int8, new")
    name_arithmetic(before, kept)
    found = path.read_bytes(), before.read_bytes()
    leave = partial(extract, some(96), RECIPE, path, Options(allow_drop=True))
    if not refused:
        assert leave().dropped == 4 and len(known(before)) == 32
        return
    with pytest.raises(HeadstartError, match="another arithmetic") as caught:
        leave()
    assert (caught.value.expected, caught.value.received) == ("int8, new", "int8, old")
    assert str(before) in caught.value.happened
    assert (path.read_bytes(), before.read_bytes()) == found


TINY = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32")


def test_the_commands_say_it(images, tmp_path, monkeypatch):
    def command(*words):
        return CliRunner().invoke(app, ["run", "images", *TINY, *words])

    monkeypatch.chdir(tmp_path)
    assert "dropped" not in command().stdout
    (images / "red" / "000.png").unlink()
    assert "to drop: 1 row, kept beside the file" in command("--plan").stdout
    assert json.loads(command("--plan", "--json").stdout)["dropped"] == 1
    assert "1 row dropped: kept in images.h5.before, which --reuse takes" in command().stdout
    shutil.rmtree(images / "blue")
    planned = command("--plan")
    assert planned.exit_code == 0
    assert "to drop: 8 rows" in planned.stdout
    assert "more than half of the rows (all of blue) would leave the file: refused" in planned.stdout
    result = command()
    assert result.exit_code == 1
    assert_four_parts(result.stderr)
    for words in ("8 of 15 rows would be dropped", "(all of blue) would leave", "images.h5.before"):
        assert words in result.stderr
    report = json.loads(command("--allow-drop", "--json").stdout)
    assert (report["rows"], report["dropped"], report["replaced"]) == (7, 8, 0)
    assert report["before"] == "images.h5.before"


def test_a_table_beside_a_folder_has_a_file_of_its_own(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.csv").write_text("path,label\nimages/red/000.png,red\nimages/blue/000.png,blue\n")
    for source, name in (("images", "images.h5"), ("images.csv", "images.csv.h5")):
        result = CliRunner().invoke(app, ["run", source, *TINY])
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{name}: ")
    assert len(FeatureFile("images.h5").contents.ids) == 16
    result = CliRunner().invoke(app, ["run", "images.csv", "-o", "images.h5", *TINY])
    assert result.exit_code == 1
    assert "2 rows of files csv instead of files class/image" in result.stderr


def test_images_whose_label_or_split_moves_are_told(numpy_backbone, tmp_path):
    path, images, labels, splits = tmp_path / "out.h5", arrays().images, ["cat", "dog"] * 64, ["train"] * 128
    splits[1::3] = ["test"] * 43

    def told() -> tuple[str, ...]:
        planned = preview(from_arrays(images, labels, splits), RECIPE, path)
        done = extract(from_arrays(images, labels, splits), RECIPE, path)
        assert planned.moved == done.moved and set(done.warnings) == set(planned.warnings)
        assert sum(done.moved.values()) == sum(int(line.split()[0]) for line in done.warnings)
        return done.warnings

    assert extract(from_arrays(images, labels, splits), RECIPE, path).warnings == ()
    assert told() == ()
    labels[6], splits[10] = "dog", "train"
    assert [line.partition(": ") for line in told()] == [
        ("1 image has another label than in the file before", ": ", "00000006 (dog, was cat)"),
        ("1 image has another split than in the file before", ": ", "00000010 (train, was test)"),
    ]
    assert told() == ()
    labels[:20] = ["dog", "cat"] * 10
    (line,) = told()
    assert line.startswith("19 images have another label") and line.endswith(", ...")


def test_images_that_come_into_another_group_are_told(images, tmp_path, monkeypatch):
    """Of `run` and of its plan, which computes nothing: in lines, and counted in the JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[str, dict]:
        result = CliRunner().invoke(app, ["run", "images", *TINY, "--json", *words])
        assert result.exit_code == 0, result.stderr
        return result.stderr, json.loads(result.stdout)["moved"]

    def listed(*groups: str) -> str:
        files = sorted((images / "blue").iterdir())
        rows = [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()},{group}"
            for file, group in zip(files, groups, strict=False)
        ]
        (tmp_path / "groups.csv").write_text("\n".join(["digest,group", *rows]) + "\n")
        return "groups.csv"

    words = ("--groups", listed("a", "b"))
    assert run("--plan", *words)[1] == run(*words)[1] == {"label": 0, "split": 0, "group": 0}
    words = ("--groups", listed("c", "b"))
    for more in (("--plan",), ()):
        told, moved = run(*words, *more)
        assert moved["group"] == 1
        assert "1 image has another group than in the file before: blue/000.png (c, was a)" in told
    told, moved = run()
    assert moved["group"] == 2 and "(no group, was c)" in told
