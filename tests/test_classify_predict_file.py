"""Feature files classified like folders, paths from lists, and files of predictions."""

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, imported_by
from invoking import fail, invoke, succeed
from small import drawn_features, drawn_set, on_disk, write_two_layers
from typer.testing import CliRunner

from classify import HEADS, Bundle, load_features
from classify.bundle.predict_file import chosen_rows, feature_files, is_feature_file, predict_file
from classify.bundle.prediction import as_told, most_probable
from classify.cli import app
from data import HeadstartError
from data.errors import UsageError
from data.output.ours import kind_of_output
from data.tables.path_list import paths_in
from extract.feature_file.reader import FeatureFile
from extract.feature_file.writer import write_feature_file

HOSTILE = ("</script><img onerror=alert(1)>", '=cmd() , "x"\n', "\u202eright to left" + "y" * 300)


def rewritten(path: Path, to: Path, **values) -> Path:
    """Write a feature file again with other contents."""
    file = FeatureFile(path)
    write_feature_file(to, replace(file.contents, **values), [(file, row) for row in range(60)])
    return to


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A file of 60 rows in two layers, ten of them without a label, and a head on the deeper one."""
    folder = tmp_path_factory.mktemp("rows")
    features = load_features(write_two_layers(folder), ["deep"])
    head = HEADS["logistic"]().fit(*features.training_rows())
    Bundle.of(head, features, "logistic").save(folder / "bundle")
    both = load_features(folder / "layers.h5")
    Bundle.of(HEADS["ridge"]().fit(*both.training_rows()), both, "ridge").save(folder / "noisy")
    labels = features.y.copy()
    labels[::6] = -1
    rewritten(folder / "layers.h5", folder / "some.h5", labels=labels)
    return folder


@pytest.fixture(scope="module")
def hostile(folder) -> tuple[Path, Path]:
    """The same with names that a spreadsheet, a browser or a terminal would run, and a bundle of it."""
    ids = tuple(f"={number}+cmd()|' /C'\n</script>.png" for number in range(60))
    path = rewritten(folder / "layers.h5", folder / "hostile.h5", class_names=HOSTILE, ids=ids)
    features = load_features(path, ["deep"])
    head = HEADS["logistic"]().fit(*features.training_rows())
    Bundle.of(head, features, "logistic").save(folder / "hostile")
    return folder / "hostile", path


@pytest.fixture
def probabilities(folder):
    bundle = Bundle.load(folder / "bundle")
    return bundle.predict_proba(np.asarray(load_features(folder / "layers.h5", ["deep"]).X))


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestPredictFile:
    def test_blocks_are_what_the_head_says_of_the_matrix(self, folder, probabilities):
        bundle, features = (
            Bundle.load(folder / "bundle"),
            load_features(folder / "layers.h5", in_memory=False),
        )
        rows, found = zip(*predict_file(bundle, features), strict=True)
        assert np.concatenate(rows).tolist() == list(range(60))
        np.testing.assert_allclose(np.concatenate([each.proba for each in found]), probabilities, atol=1e-6)
        labels = [label for each in found for label in each.labels()]
        assert labels == [bundle.class_names[number] for number in probabilities.argmax(axis=1)]

    @pytest.mark.parametrize("form", ["array", "blocks", "layers"])
    def test_large_matrices_come_in_several_blocks(self, form, tmp_path):
        features = drawn_features(4000, width=2048, classes=2)
        head = HEADS["centroid"]().fit(*features.training_rows())
        bundle = Bundle.of(head, features, "centroid")
        parts = {"blocks": 1, "layers": 2}
        where = on_disk(features, tmp_path, parts[form]) if form in parts else features
        wanted = np.arange(1, 4000, 3)
        rows, found = zip(*predict_file(bundle, where, rows=wanted), strict=True)
        assert len(rows) > 1
        assert np.concatenate(rows).tolist() == wanted.tolist()
        expected = bundle.predict_proba(features.X[wanted])
        np.testing.assert_allclose(np.concatenate([each.proba for each in found]), expected, atol=2e-6)

    def test_labels_that_the_head_does_not_know_are_no_matter(self, folder, tmp_path):
        other = rewritten(folder / "layers.h5", tmp_path / "other.h5", class_names=("fox", "bee", "cow"))
        plain = succeed("predict", folder / "bundle", folder / "layers.h5", "--csv")
        assert succeed("predict", folder / "bundle", other, "--csv") == plain

    def test_what_is_not_finite_is_named(self, folder):
        features = load_features(folder / "layers.h5")
        X = np.array(features.X)
        X[7] = np.nan
        with pytest.raises(HeadstartError, match="1 such row in the block read last: 007"):
            list(predict_file(Bundle.load(folder / "bundle"), replace(features, X=X)))

    def test_other_recipes_and_layers_are_refused(self, folder):
        bundle, features = Bundle.load(folder / "bundle"), drawn_features(width=3)
        with pytest.raises(HeadstartError, match="was made by another recipe"):
            next(predict_file(bundle, replace(features, feature_sets=(replace(drawn_set(3)),))))

    def test_rows_are_chosen(self, folder):
        features = load_features(folder / "some.h5")
        assert len(chosen_rows(features)) == 60
        assert chosen_rows(features, unlabelled=True).tolist() == list(range(0, 60, 6))
        assert chosen_rows(features, "test").tolist() == np.flatnonzero(features.splits == 2).tolist()
        both = chosen_rows(features, "validation", unlabelled=True)
        assert len(both) and set(both) == set(range(0, 60, 6)) & set(np.flatnonzero(features.splits == 1))
        with pytest.raises(HeadstartError, match="no rows without a label"):
            chosen_rows(load_features(folder / "layers.h5"), unlabelled=True)
        with pytest.raises(UsageError, match="unknown split 'all'"):
            chosen_rows(features, "all")


def test_what_is_told_alike_is_in_the_order_of_the_classes_and_the_label_first():
    last = 1e-12  # a difference that another CPU may not make
    proba = np.array([[0.2, 0.2 + last, 0.6], [0.5, 0.5 + last, 0.0], [0.1, 0.8, 0.1 + last]])
    assert most_probable(as_told(proba), 3).tolist() == [[2, 0, 1], [1, 0, 2], [1, 0, 2]]


def test_the_most_probable_come_first_and_of_equal_ones_the_first():
    proba = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert most_probable(proba, 1).tolist() == [[1], [0]]
    assert most_probable(proba, 9).tolist() == [[1, 2, 0], [0, 2, 1]]


class TestCommand:
    def test_csv(self, folder, probabilities):
        features = load_features(folder / "layers.h5")
        rows = rows_of(succeed("predict", folder / "bundle", folder / "layers.h5", "--csv"))
        assert list(rows[0]) == ["digest", "id", "label", "probability"]
        assert [row["id"] for row in rows] == list(features.ids)
        assert [row["digest"] for row in rows] == [digest.tobytes().hex() for digest in features.digests]
        names = np.array(features.class_names)[probabilities.argmax(axis=1)]
        assert [row["label"] for row in rows] == names.tolist()
        found = [float(row["probability"]) for row in rows]
        np.testing.assert_allclose(found, probabilities.max(axis=1), atol=1e-6)

    def test_json_has_every_class_or_the_most_probable(self, folder, probabilities):
        words = ("predict", folder / "bundle", folder / "layers.h5", "--json")
        rows = json.loads(succeed(*words))
        found = [[row["probabilities"][name] for name in ("ant", "bee", "cow")] for row in rows]
        np.testing.assert_allclose(found, probabilities, atol=1e-6)
        top = json.loads(succeed(*words, "--top-k", 2))
        for row, two in zip(rows, top, strict=True):
            best = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:2]
            assert list(two["probabilities"].items()) == best
            assert (two["label"], two["probability"]) == best[0]

    def test_table_counts_labels_and_shows_the_first_rows(self, folder):
        lines = succeed("predict", folder / "bundle", folder / "layers.h5", "--top-k", 2).splitlines()
        assert lines[0].split() == ["label", "images", "share"]
        assert sum(int(line.split()[1]) for line in lines[1:4]) == 60
        assert lines[4:6] == ["the first 10", "file     label  probability"]
        assert [line.split()[0] for line in lines[6:26:2]] == [f"{number:03d}.png" for number in range(10)]
        assert lines[26] == "all 60: -o FILE.csv or FILE.json, --csv, --json"

    @pytest.mark.parametrize("suffix", ["csv", "json"])
    def test_a_file_of_predictions(self, suffix, folder, tmp_path):
        out = tmp_path / "new" / f"labels.{suffix}"
        words = ("predict", folder / "bundle", folder / "some.h5", "--unlabelled", "-o", out)
        assert succeed(*words).splitlines()[-1] == f"wrote {out}"
        assert kind_of_output(out) == "list of predictions"
        written = out.read_text("utf-8")
        rows = rows_of(written) if suffix == "csv" else json.loads(written)["predictions"]
        assert [row["id"] for row in rows] == [f"{number:03d}.png" for number in range(0, 60, 6)]
        assert succeed(*words) and out.read_text("utf-8") == written
        succeed(*words, "--top-k", 2)
        assert kind_of_output(out) == "list of predictions"
        succeed(*words)

    def test_strangers_files_are_kept(self, folder, tmp_path):
        words = ("predict", folder / "bundle", folder / "layers.h5", "-o")
        for name, text in (("mine.csv", "digest,id,label,probability_of_rain\n"), ("mine.json", "[]")):
            (tmp_path / name).write_text(text)
            assert "is no list of predictions that Headstart wrote" in fail(*words, tmp_path / name)
            assert (tmp_path / name).read_text() == text
        assert "ends in .csv or .json" in fail(*words, tmp_path / "labels.txt", code=2)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv", "mine.json"]

    def test_an_error_half_way_leaves_nothing(self, folder, tmp_path, monkeypatch):
        def failing(*_):
            yield np.arange(60), next(predict_file(bundle, features))[1]
            raise HeadstartError("features hold NaN", "a", "b", "c")

        bundle, features = Bundle.load(folder / "bundle"), load_features(folder / "layers.h5")
        monkeypatch.setattr("classify.bundle.predict_file.predict_file", failing)
        fail("predict", folder / "bundle", folder / "layers.h5", "-o", tmp_path / "labels.csv")
        assert list(tmp_path.iterdir()) == []

    def test_abstentions(self, folder):
        words = ("predict", folder / "noisy", folder / "layers.h5", "--abstain", 0.3)
        rows, plain = rows_of(succeed(*words, "--csv")), json.loads(succeed(*words, "--json"))
        unknown = [row["unknown"] == "True" for row in rows]
        assert any(unknown) and not all(unknown) and unknown == [row["unknown"] for row in plain]
        assert {(row["label"], row["probability"]) for row in rows if row["unknown"] == "True"} == {
            ("unknown", "")
        }
        counts = {line.split()[0]: int(line.split()[1]) for line in succeed(*words).splitlines()[1:5]}
        assert counts["(unknown)"] == sum(unknown) and sum(counts.values()) == 60

    def test_several_files_are_joined(self, tmp_path):
        first = write_two_layers(tmp_path)
        recipe = replace(FeatureFile(first).recipe, image_size=(299, 299))
        second = rewritten(first, tmp_path / "larger.h5", recipe=recipe)
        joined = load_features([second, first])
        bundle = Bundle.of(HEADS["ridge"]().fit(*joined.training_rows()), joined, "ridge")
        bundle.save(tmp_path / "both")
        rows = json.loads(succeed("predict", tmp_path / "both", first, second, "--json"))
        found = [list(row["probabilities"].values()) for row in rows]
        np.testing.assert_allclose(found, bundle.predict_proba(joined.X), atol=1e-6)
        assert "are of one recipe" in fail("predict", tmp_path / "both", first, first)
        assert "holds fewer features than the head takes" in fail("predict", tmp_path / "both", first)

    def test_names_run_nowhere(self, hostile, tmp_path):
        bundle, path = hostile
        rows = rows_of(succeed("predict", bundle, path, "--csv", "--top-k", 3))
        assert all(row["id"].startswith("'=") and not row["label"].startswith("=") for row in rows)
        assert {row["label"] for row in rows} == {HOSTILE[0], "'" + HOSTILE[1], HOSTILE[2]}
        whole = json.loads(succeed("predict", bundle, path, "--json"))
        assert {row["label"] for row in whole} == set(HOSTILE)
        succeed("predict", bundle, path, "-o", tmp_path / "odd.csv")
        assert rows_of((tmp_path / "odd.csv").read_text("utf-8"))[0]["id"] == rows[0]["id"]
        lines = succeed("predict", bundle, path, "--top-k", 2).splitlines()
        assert max(map(len, lines)) <= 80 and not any("\u202e" in line for line in lines)

    def test_what_is_wrong_is_told(self, folder, images, tmp_path):
        (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
        bundle, path = folder / "bundle", folder / "layers.h5"
        for words, part in (
            ((bundle, path, images), "images and feature files are named together"),
            ((bundle, tmp_path / "missing.h5"), "no feature file"),
            ((bundle, tmp_path / "damaged.h5"), "is not a feature file, or is damaged"),
            ((path, bundle), "is not a bundle"),
            ((bundle, path, "--unlabelled"), "no rows without a label"),
            ((bundle, path, "--split", "all"), "unknown split 'all'"),
            ((bundle, path, "--abstain", 0.001), "threshold for unknown images cannot be set"),
            ((bundle, "--list", tmp_path / "missing.txt"), "no list"),
        ):
            assert part in fail("predict", *words)
        assert "no such number" in fail("predict", bundle, path, "--top-k", 0, code=2)

    @pytest.mark.parametrize(
        "words",
        [("--unlabelled",), ("--split", "test"), ("--csv", "-o", "a.csv"), ("--json", "-o", "a.json")],
        ids=" ".join,
    )
    def test_usage(self, words, folder, images):
        result = invoke("predict", folder / "bundle", images, *words)
        assert result.exit_code == 2 and "Usage: " in result.stderr
        assert bool(result.stdout) == ("--json" in words)

    def test_neither_tensorflow_nor_an_engine_is_imported(self, folder):
        done, modules = imported_by("classify", "predict", folder / "bundle", folder / "layers.h5", cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert modules.isdisjoint({"tensorflow", "keras", "openvino", "matplotlib", "pandas"})


class TestImages:
    def test_top_k_and_a_file(self, tiny_bundle, images, tmp_path):
        words = ("predict", tiny_bundle, images / "red" / "000.png", images / "blue" / "000.png")
        rows = rows_of(succeed(*words, "--csv", "--top-k", 5))
        columns = ["file", "label", "probability", "error", "label_2", "probability_2"]
        assert list(rows[0])[:6] == columns
        assert [(row["label"], row["label_2"]) for row in rows] == [("red", "blue"), ("blue", "red")]
        assert float(rows[0]["probability"]) + float(rows[0]["probability_2"]) == pytest.approx(1, abs=1e-5)
        lines = succeed(*words, "--top-k", 2).splitlines()
        assert [line.split()[-2] for line in lines[1:]] == ["red", "blue", "blue", "red"]
        out = tmp_path / "labels.json"
        assert "red         1  50.0%" in succeed(*words, "-o", out)
        assert json.loads(out.read_text())["predictions"] == json.loads(succeed(*words, "--json"))

    def test_unread_images_are_in_the_file(self, tiny_bundle, images, tmp_path):
        (images / "red" / "empty.png").write_bytes(b"")
        result = invoke("predict", tiny_bundle, images, "-o", tmp_path / "labels.csv")
        assert result.exit_code == 1 and "1 of 17 images could not be read" in result.stderr
        rows = rows_of((tmp_path / "labels.csv").read_text())
        assert len(rows) == 17 and [row["error"] for row in rows if row["error"]] == ["the file is empty"]
        assert kind_of_output(tmp_path / "labels.csv") == "list of predictions"

    @pytest.mark.parametrize("between", ["\n", "\r\n", "\0"])
    @pytest.mark.parametrize("way", ["-", "--list"])
    def test_paths_from_elsewhere(self, way, between, tiny_bundle, images, tmp_path):
        names = [str(images / "red" / f"{number:03d}.png") for number in (3, 1)]
        given = between.join(names) + between
        expected = succeed("predict", tiny_bundle, *names, "--csv")
        if way == "--list":
            (tmp_path / "list").write_text(given, newline="", encoding="utf-8-sig")
            assert succeed("predict", tiny_bundle, "--list", tmp_path / "list", "--csv") == expected
        else:
            words = ["predict", str(tiny_bundle), "-", "--csv"]
            assert CliRunner().invoke(app, words, input=given).stdout == expected

    def test_lists_of_nothing_are_refused(self, folder, tmp_path):
        (tmp_path / "empty").write_text("\n\n")
        (tmp_path / "one line").write_text("x" * 5000)
        for name in ("empty", "one line"):
            assert "names no paths" in fail("predict", folder / "bundle", "--list", tmp_path / name)
        assert "cannot be read" in fail("predict", folder / "bundle", "--list", tmp_path)
        (tmp_path / "binary").write_bytes(b"\x89HDF\r\n\x1a\n\0/\0")
        assert "no list of paths" in fail("predict", folder / "bundle", "--list", tmp_path / "binary")
        result = CliRunner().invoke(app, ["predict", str(folder / "bundle"), "-"], input="")
        assert result.exit_code == 1 and "standard input names no paths" in result.stderr

    @pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
    def test_any_name_comes_through_a_list(self, tmp_path):
        names = [b"two\nlines.png", b" blank .png", b"caf\xe9.png"]
        (tmp_path / "list").write_bytes(b"\0".join(names))
        assert [os.fsencode(path) for path in paths_in(tmp_path / "list")] == names


def test_feature_files_are_known_by_what_they_are(folder, tmp_path):
    (tmp_path / "images.h5").mkdir()
    renamed = tmp_path / "features"
    renamed.write_bytes((folder / "layers.h5").read_bytes())
    assert is_feature_file(renamed) and is_feature_file(tmp_path / "gone.h5")
    assert not is_feature_file(tmp_path / "images.h5") and not is_feature_file(tmp_path / "gone.png")
    assert feature_files([renamed]) == [renamed] and feature_files([tmp_path]) == []
