"""The commands train, evaluate and predict: what they print where, and how they end."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts, imported_by, run_command
from invoking import fail, invoke, succeed
from PIL import Image
from rich.cells import cell_len
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.bundle.predict_file import Layout
from classify.bundle.prediction import Asked, Prediction
from classify.cli import app
from classify.commands.predict import prediction_lines
from classify.scores.learning_curve import learning_curve
from classify.scores.temperature import calibration_text
from data import open_source
from data.names import shortened
from data.output.ours import PREDICTED_IMAGES
from extract import extract
from extract.feature_file.reader import FeatureFile
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

SCORE = {"value", "low", "high"}


def changed(file: Path, path: Path, **values) -> Path:
    """Write a feature file again with other contents and the same features."""
    old = FeatureFile(file)
    write_feature_file(
        path, replace(old.contents, **values), [(old, row) for row in range(len(old.contents.ids))]
    )
    return path


@pytest.fixture
def layers(two_layers, tmp_path) -> Path:
    """The same file in a folder of its own."""
    return Path(shutil.copy(two_layers, tmp_path / "layers.h5"))


class TestTrain:
    def test_prints_scores_and_where_the_bundle_is(self, layers):
        printed = succeed("train", layers)
        folder = layers.with_name("layers-logistic")
        train, validation, chosen, calibrated, saved, following = printed.splitlines()
        assert train.split()[:2] == ["train", "1.0000"] and train.endswith("accuracy on 30 rows")
        assert validation.split()[:2] == ["validation", "1.0000"] and validation.endswith("on 15 rows")
        assert re.fullmatch(r"chosen      C=\S+ by validation rows", chosen)
        told = Bundle.load(folder).provenance["calibration"]
        assert calibrated == f"calibrated  temperature {calibration_text(told)}"
        assert saved == f"saved {folder}"
        assert following == f"next: python -m classify evaluate {folder} {layers}"
        assert {path.name for path in folder.iterdir()} == {
            "bundle.json",
            "head.skops",
            "seen.npy",
            "conformal.npy",
            "detector.npz",
        }
        assert {path.name for path in layers.parent.iterdir()} == {"layers.h5", "layers-logistic"}

    def test_json_alone(self, layers, tmp_path):
        printed = json.loads(succeed("train", layers, "-o", tmp_path / "here", "--json"))
        scores = {"train", "validation"}  # none of test
        assert printed.keys() == {
            "bundle",
            "head",
            "chosen",
            "temperature",
            "calibration",
            "warnings",
            *scores,
        }
        assert (printed["bundle"], printed["head"]) == (str(tmp_path / "here"), "logistic")
        assert printed["train"]["accuracy"].keys() == SCORE
        assert printed["train"] == Bundle.load(tmp_path / "here").scores["train"]

    def test_the_keras_head(self, layers, tmp_path):
        assert "saved" in succeed("train", layers, "--head", "keras-linear", "-o", tmp_path / "here")
        assert Bundle.load(tmp_path / "here").name == "keras-linear"

    def test_again_replaces_the_bundle(self, layers):
        for layer in ("noise", "deep"):
            succeed("train", layers, "--layer", layer)
        assert Bundle.load(layers.with_name("layers-logistic")).feature_sets[0].layers == ("deep",)

    @pytest.mark.parametrize("split", [None, 0], ids=["in all", "in the training rows"])
    def test_one_class_is_refused(self, split, layers, tmp_path):
        contents = FeatureFile(layers).contents
        labels = np.where(contents.splits == split, 0, contents.labels) if split == 0 else 0 * contents.labels
        file = changed(layers, tmp_path / "one.h5", labels=labels.astype(np.int32))
        message = fail("train", file)
        assert "two classes" in message and "30 training images of 1 class: ant" in message
        assert not (tmp_path / "one-logistic").exists()

    def test_markup_in_a_path_is_printed_as_it_is(self, layers, tmp_path):
        folder = tmp_path / "heads[new]:dog:"
        assert f"saved {folder}\n" in succeed("train", layers, "-o", folder)

    @pytest.mark.skipif(
        not Path("/proc/self").exists(), reason="needs a folder that takes no files, from root too"
    )
    def test_a_folder_that_cannot_be_written_is_refused(self, layers):
        assert "/proc/bundle" in fail("train", layers, "-o", "/proc/bundle")

    ERRORS = (
        (("train", "layers.h5", "--head", "logistik"), ("unknown head 'logistik'", "nearest: logistic")),
        (("train", "layers.h5", "--layer", "deeep"), ("unknown layer", "'deeep'", "deep, noise")),
        (("train", "layers.h5", "--class-weight", "foo"), ("unknown class weight 'foo'", "balanced")),
        (("train", "layers.h5", "-o", "photos"), ("'photos' cannot take a bundle", "-o")),
        (("train", "layers.h5", "-o", "notes.txt"), ("'notes.txt' cannot take a bundle", "-o")),
        (("train", "layers.h5", "-o", "notes.txt/where"), ("which is no folder", "-o")),
        (("train", "notes.txt"), ("'notes.txt' is not a feature file",)),
        (("train", "other.h5"), ("'other.h5' is not a feature file",)),
        (("train", "photos"), ("no feature file 'photos'", "a folder")),
        (("train", "missing.h5"), ("no feature file 'missing.h5'",)),
        (("train", "no/missing.h5"), ("no feature file 'no/missing.h5'",)),
    )

    @pytest.mark.parametrize(("words", "parts"), ERRORS, ids=[" ".join(words[1:]) for words, _ in ERRORS])
    def test_what_is_wrong_is_told_and_nothing_is_left(self, words, parts, layers, monkeypatch):
        monkeypatch.chdir(layers.parent)
        Path("photos").mkdir()
        Path("photos/one.jpg").write_text("precious")
        Path("notes.txt").write_text("notes")
        with h5py.File("other.h5", "w") as file:
            file["features"] = [1.0]
        before = sorted(Path().rglob("*"))
        message = fail(*words)
        for part in parts:
            assert part in message
        assert sorted(Path().rglob("*")) == before


class TestEvaluate:
    def test_table(self, layers_bundle, two_layers):
        lines = succeed("evaluate", layers_bundle, two_layers).splitlines()
        assert lines[0].startswith("test, 15 rows")
        shown = {words[0]: words[1:] for words in map(str.split, lines[1:])}
        assert shown["accuracy"] == ["1.0000", "[0.7961,", "1.0000]"]
        assert {"balanced_accuracy", "macro_f1", "log_loss", "ece"} < shown.keys()
        assert shown["class"] == ["rows", "precision", "recall", "f1"]
        assert shown["true"] == ["ant", "bee", "cow", "<-", "predicted"]
        matrix = [line.split() for line in lines[-3:]]
        assert matrix == [["ant", "5", "0", "0"], ["bee", "0", "5", "0"], ["cow", "0", "0", "5"]]

    @pytest.mark.parametrize(("split", "rows"), [("train", 30), ("validation", 15), ("test", 15)])
    def test_json_alone(self, split, rows, layers_bundle, two_layers):
        report = json.loads(succeed("evaluate", layers_bundle, two_layers, "--split", split, "--json"))
        assert (report["split"], report["rows"]) == (split, rows)
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
            assert report[name].keys() == SCORE
        assert [row["name"] for row in report["classes"]] == ["ant", "bee", "cow"]
        expected = Bundle.load(layers_bundle).evaluate(load_features(two_layers, ["deep"]), split)
        assert report == json.loads(json.dumps({**expected, "confused": [], "errors": []}))

    def test_two_classes_have_an_area_under_the_curve(self, tiny_bundle, tiny_file):
        report = json.loads(succeed("evaluate", tiny_bundle, tiny_file, "--json"))
        assert report["roc_auc"].keys() == SCORE
        assert report["rows"] == len(load_features(tiny_file).rows("test"))
        assert "roc_auc" in succeed("evaluate", tiny_bundle, tiny_file)

    def test_a_score_that_is_not_defined_has_a_line(self, tiny_bundle, tiny_file, tmp_path):
        contents = FeatureFile(tiny_file).contents
        file = changed(tiny_file, tmp_path / "one.h5", labels=0 * contents.labels)
        lines = succeed("evaluate", tiny_bundle, file).splitlines()
        assert "roc_auc           undefined: the rows hold one class alone" in lines
        report = json.loads(succeed("evaluate", tiny_bundle, file, "--json"))
        assert report["undefined"] == {"roc_auc": "the rows hold one class alone"}

    def test_learning_curve(self, layers_bundle, two_layers):
        report = json.loads(succeed("evaluate", layers_bundle, two_layers, "--learning-curve", "--json"))
        features = load_features(two_layers, ["deep"])
        expected = learning_curve(Bundle.load(layers_bundle).head, features).to_dict()
        assert report["learning_curve"] == json.loads(json.dumps(expected))
        assert [point["rows"] for point in expected["points"]] == [3, 6, 12, 21, 30]
        lines = succeed("evaluate", layers_bundle, two_layers, "--learning-curve").splitlines()
        assert lines[-1] == expected["more_labels"]
        assert lines[-7].endswith("<- on 15 validation rows")
        assert lines[-2].split() == ["30", "1.0000", "-", "1.0000", "1.0000"]

    def test_learning_curve_without_validation_rows_is_refused(self, layers_bundle, two_layers, tmp_path):
        splits = np.where(FeatureFile(two_layers).contents.splits == 2, 2, 0).astype(np.int8)
        file = changed(two_layers, tmp_path / "none.h5", splits=splits)
        assert "no labelled validation rows" in fail("evaluate", layers_bundle, file, "--learning-curve")

    @pytest.mark.parametrize("cv", [(), ("--cv", 3)], ids=["a split", "a cross-validation"])
    def test_figures(self, cv, tiny_bundle, tiny_file, tmp_path):
        folder = tmp_path / "figures"
        lines = succeed("evaluate", tiny_bundle, tiny_file, "--figures", folder, *cv).splitlines()
        written = [str(folder / f"{name}.png") for name in ("confusion", "reliability", "roc")]
        assert lines[-3:] == [f"wrote {path}" for path in written]
        assert {str(path) for path in folder.iterdir()} == set(written)

    def test_figures_with_a_learning_curve(self, layers_bundle, two_layers, tmp_path):
        words = ("--figures", tmp_path, "--learning-curve", "--json")
        report = json.loads(succeed("evaluate", layers_bundle, two_layers, *words))
        names = ("confusion", "reliability", "learning_curve")
        assert report["figures"] == [str(tmp_path / f"{name}.png") for name in names]
        assert {str(path) for path in tmp_path.iterdir()} == set(report["figures"])

    def test_two_bundles_are_compared(self, layers_bundle, noise_bundle, two_layers):
        words = ("evaluate", layers_bundle, noise_bundle, two_layers)
        values = json.loads(succeed(*words, "--json"))
        assert values.keys() == {"bundles", "mcnemar"}
        right = []
        for report, path, layer in zip(
            values["bundles"], (layers_bundle, noise_bundle), ("deep", "noise"), strict=True
        ):
            bundle, features = Bundle.load(path), load_features(two_layers, [layer])
            expected = {"bundle": str(path), **bundle.evaluate(features)}
            wrong = [report.pop(name) for name in ("confused", "errors")]
            assert report == json.loads(json.dumps(expected))
            assert sum(pair["rows"] for pair in wrong[0]) == len(wrong[1])
            X, y = features.split("test")
            right.append(bundle.predict_proba(X).argmax(axis=1) == y)
        compared = values["mcnemar"]
        assert compared["only_first"] == (right[0] & ~right[1]).sum() > 0
        assert compared["only_second"] == 0
        assert compared["p_value"] == pytest.approx(2 * 0.5 ** compared["only_first"])
        lines = succeed(*words).splitlines()
        assert lines[0] == str(layers_bundle) and str(noise_bundle) in lines
        assert f"only the first    {compared['only_first']}" in lines
        assert lines[-1] == f"p_value           {compared['p_value']:.4g}"

    def test_figures_of_two_bundles(self, layers_bundle, noise_bundle, two_layers, tmp_path):
        succeed(
            "evaluate", layers_bundle, noise_bundle, two_layers, "--figures", tmp_path, "--split", "train"
        )
        assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")} == {
            f"{place}/{name}.png" for place in ("first", "second") for name in ("confusion", "reliability")
        }

    def test_two_bundles_take_no_cross_validation(self, layers_bundle, noise_bundle, two_layers):
        result = invoke("evaluate", layers_bundle, noise_bundle, two_layers, "--cv", 3)
        assert result.exit_code == 2
        assert "leave --cv out" in result.stderr

    def test_cross_validation(self, layers_bundle, two_layers):
        report = json.loads(succeed("evaluate", layers_bundle, two_layers, "--cv", 5, "--json"))
        assert (report["split"], report["folds"], report["rows"]) == ("5-fold cross-validation", 5, 45)
        assert len(report["fold_accuracies"]) == 5
        assert report["accuracy"]["value"] == 1
        lines = succeed("evaluate", layers_bundle, two_layers, "--cv", 5).splitlines()
        assert lines[0].startswith("5-fold cross-validation, 45 rows")
        assert any(line.startswith("folds") and "lowest" in line for line in lines)

    def test_layers_are_those_of_the_bundle_in_its_order(self, layers, tmp_path):
        succeed("train", layers, "--layer", "deep", "--layer", "noise", "-o", tmp_path / "both")
        assert Bundle.load(tmp_path / "both").feature_sets[0].layers == ("deep", "noise")
        report = json.loads(succeed("evaluate", tmp_path / "both", layers, "--json"))
        assert report["accuracy"]["value"] == 1

    def test_a_cross_validation_takes_no_split(self, layers_bundle, two_layers):
        result = CliRunner().invoke(
            app, ["evaluate", *map(str, (layers_bundle, two_layers)), "--cv", "3", "--split", "test"]
        )
        assert result.exit_code == 2
        assert "leave --split out" in result.stderr

    def test_a_file_of_another_recipe_is_refused(self, layers_bundle, two_layers, tmp_path):
        recipe = replace(FeatureFile(two_layers).recipe, image_size=(299, 299))
        message = fail("evaluate", layers_bundle, changed(two_layers, tmp_path / "large.h5", recipe=recipe))
        assert "expected: image_size=(150, 150)" in message and "received: image_size=(299, 299)" in message

    def test_a_file_with_unknown_classes_is_refused_by_their_names(self, layers_bundle, two_layers, tmp_path):
        file = changed(two_layers, tmp_path / "other.h5", class_names=("ant", "bee", "cat"))
        for more in ((), ("--cv", 5), ("--learning-curve",)):
            message = fail("evaluate", layers_bundle, file, *more)
            assert "rows of ant, bee, cow" in message and "received: cat (" in message

    def test_unknown_classes_in_other_splits_do_not_matter(self, layers_bundle, two_layers, tmp_path):
        contents = FeatureFile(two_layers).contents
        labels = np.where(contents.splits == 0, 0, contents.labels + 1).astype(np.int32)
        names = ("zebra", *contents.class_names)
        file = changed(two_layers, tmp_path / "other.h5", class_names=names, labels=labels)
        report = json.loads(succeed("evaluate", layers_bundle, file, "--json"))
        assert (report["rows"], report["accuracy"]["value"]) == (15, 1)

    @pytest.mark.parametrize("names", [("bee", "cow"), ("aphid", "bee", "cow"), ("bee", "zebra", "cow")])
    def test_fewer_classes_are_judged_by_name(self, names, layers_bundle, two_layers, tmp_path):
        contents = FeatureFile(two_layers).contents
        kept = {1: names.index("bee"), 2: names.index("cow"), 0: -1}
        labels = np.array([kept[label] for label in contents.labels], np.int32)
        file = changed(two_layers, tmp_path / "fewer.h5", class_names=names, labels=labels)
        report = json.loads(succeed("evaluate", layers_bundle, file, "--json"))
        assert (report["rows"], report["accuracy"]["value"]) == (10, 1)
        assert [(row["name"], row["rows"]) for row in report["classes"]] == [
            ("ant", 0),
            ("bee", 5),
            ("cow", 5),
        ]
        assert "no rows of ant: judged on the others" in succeed("evaluate", layers_bundle, file)

    def test_int8_by_another_arithmetic_is_told(self, two_layers, tmp_path):
        files = [
            changed(
                two_layers,
                tmp_path / f"{sums}.h5",
                engines=(EngineInfo("e", others=(("arithmetic", sums),)),),
            )
            for sums in ("vnni", "none")
        ]
        succeed("train", files[0], "-o", tmp_path / "bundle")
        said = [invoke("evaluate", tmp_path / "bundle", file).stderr for file in files]
        assert said[0] == "" and "'vnni'" in said[1] and "are of 'none': scores may differ" in said[1]
        page = ("-o", tmp_path / "page.html", "--no-images")
        for command, *more in (("predict", "--csv"), ("report", *page), ("suggest",)):
            told = [invoke(command, tmp_path / "bundle", file, *more) for file in files]
            assert command == "suggest" or [each.exit_code for each in told] == [0, 0]  # all have labels
            assert "are of" not in told[0].stderr and told[1].stderr.count("are of 'none'") == 1

    def test_a_split_without_rows_is_refused(self, layers_bundle, two_layers, tmp_path):
        file = changed(two_layers, tmp_path / "train.h5", splits=np.zeros(60, np.int8))
        assert "train 60, validation 0, test 0" in fail("evaluate", layers_bundle, file)

    def test_what_is_wrong_is_told(self, layers_bundle, two_layers, tmp_path):
        missing = tmp_path / "missing"
        for words, part in (
            ((layers_bundle, two_layers, "--split", "tests"), "unknown split 'tests'"),
            ((layers_bundle, two_layers, "--cv", 16), "16-fold cross-validation is not possible"),
            ((layers_bundle, two_layers, "--cv", 1), "1-fold cross-validation is not possible"),
            ((layers_bundle, missing), f"no feature file '{missing}'"),
            ((missing, two_layers), f"'{missing}' is not a bundle"),
            ((two_layers, layers_bundle), f"'{two_layers}' is not a bundle"),
        ):
            assert part in fail("evaluate", *words)


@pytest.fixture
def mixed(images) -> Path:
    """The 16 drawn images, two that cannot be read, and files that are passed over."""
    (images / "red" / "zz_empty.png").write_bytes(b"")
    (images / "red" / "zz_text.jpg").write_text("no image")
    (images / "red" / "notes.txt").write_text("notes")
    (images / "red" / ".hidden.png").write_text("hidden")
    return images


class TestPredict:
    def test_training_images_get_the_probabilities_of_their_features(self, tiny_bundle, tiny_file):
        folder = tiny_file.parent / "images"
        shown = json.loads(succeed("predict", tiny_bundle, folder, "--json"))
        features, bundle = load_features(tiny_file), Bundle.load(tiny_bundle)
        found = {Path(row["file"]).relative_to(folder).as_posix(): row for row in shown}
        assert found.keys() == set(features.ids)
        for row_id, proba in zip(features.ids, bundle.predict_proba(features.X), strict=True):
            row = found[row_id]
            assert row["probabilities"] == pytest.approx(
                dict(zip(bundle.class_names, proba, strict=True)), abs=1e-4
            )
            assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
            assert row["probability"] == row["probabilities"][row["label"]]
            assert row["error"] == ""

    def test_table(self, tiny_bundle, images):
        given = (images / "red" / "000.png", images / "blue", images / "blue" / "003.png")
        lines = succeed("predict", tiny_bundle, *given).splitlines()
        assert lines[0].split() == ["file", "label", "probability"]
        rows = [line.split() for line in lines[1:]]
        assert [row[0] for row in rows] == [
            "red/000.png",
            *(f"blue/{number:03d}.png" for number in range(8)),
            "blue/003.png",  # named, and in the folder: one line for each
        ]
        assert [row[1] for row in rows] == ["red"] + ["blue"] * 9
        assert all(0.5 <= float(row[2]) <= 1 for row in rows)

    @pytest.mark.parametrize("form", ["table", "csv", "json"])
    def test_images_that_cannot_be_read_do_not_stop_the_others(self, form, tiny_bundle, mixed):
        result = invoke("predict", tiny_bundle, mixed, *([] if form == "table" else [f"--{form}"]))
        assert result.exit_code == 1
        passed, unread = result.stderr.splitlines()
        assert passed == "warning: 1 file passed over, not named like an image: .txt 1"
        assert unread == "2 of 18 images could not be read"
        if form == "table":
            lines = result.stdout.splitlines()[1:]
            assert len(lines) == 18
            rows = [{"file": line.split()[0], "label": line.split()[1], "error": line} for line in lines]
        elif form == "csv":
            rows = list(csv.DictReader(io.StringIO(result.stdout)))
            assert list(rows[0]) == ["file", "label", "probability", "error"]
            assert rows[-1]["label"] == rows[-1]["probability"] == ""
        else:
            rows = json.loads(result.stdout)
            assert (rows[-1]["label"], rows[-1]["probability"], rows[-1]["probabilities"]) == (None, None, {})
        assert [Path(row["file"]).name for row in rows[-2:]] == ["zz_empty.png", "zz_text.jpg"]
        assert "the file is empty" in rows[-2]["error"] and "not an image" in rows[-1]["error"]
        assert [row["label"] for row in rows[:16]] == ["blue"] * 8 + ["red"] * 8

    def test_names_are_printed_as_they_are(self, tiny_bundle, images):
        names = [images / "[red]x.png", images / "a:dog:b.png"]
        for name in names:
            shutil.copy(images / "red" / "000.png", name)
        lines = succeed("predict", tiny_bundle, *names).splitlines()[1:]
        assert [line.split()[0] for line in lines] == [name.name for name in names]

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
    def test_csv_keeps_every_name(self, tiny_bundle, images):
        names = ['say "so", twice.png', "two\nlines.png", "form\ffeed.png", "line\u2028separator.png"]
        for name in names:
            shutil.copy(images / "red" / "000.png", images / name)
        printed = succeed("predict", tiny_bundle, *(images / name for name in names), "--csv")
        rows = list(csv.DictReader(io.StringIO(printed, newline="")))
        assert [(row["file"], row["label"]) for row in rows] == [
            (str(images / name), "red") for name in names
        ]

    @pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
    def test_a_name_that_is_not_utf8(self, tiny_bundle, images):
        name = images / os.fsdecode(b"caf\xe9.png")
        shutil.copy(images / "red" / "000.png", name)
        for form in ([], ["--json"]):
            printed = succeed("predict", tiny_bundle, images / "blue", images, *form)
            assert printed.encode() and printed.count("caf") == 1

    def test_16_bits_that_are_nearly_black_are_told(self, tiny_bundle, images):
        Image.fromarray(np.full((24, 24), 4000, np.uint16)).save(images / "red" / "twelve.png")
        assert "nearly black: twelve.png;" in invoke("predict", tiny_bundle, images).stderr.replace(
            f"{images}/red/", ""
        )

    def test_what_is_wrong_is_told(self, tiny_bundle, images, tmp_path):
        (tmp_path / "empty").mkdir()
        for words, part in (
            ((tiny_bundle, tmp_path / "missing.jpg"), f"no image '{tmp_path / 'missing.jpg'}'"),
            ((tiny_bundle, tmp_path / "empty"), "no images were found"),
            ((images, images), f"'{images}' is not a bundle"),
        ):
            assert part in fail("predict", *words)

    def test_a_missing_path_does_not_keep_others_from_being_classified(self, tiny_bundle, images, tmp_path):
        result = invoke("predict", tiny_bundle, images / "red", tmp_path / "missing.jpg", "--json")
        *others, missing = json.loads(result.stdout)
        assert result.exit_code == 1 and all(row["label"] for row in others)
        assert (missing["file"], missing["label"]) == (str(tmp_path / "missing.jpg"), None)
        assert "1 of 9 images could not be read" in result.stderr

    def test_a_head_for_features_of_another_width_is_refused(self, tiny_bundle, tiny_file, images, tmp_path):
        features = load_features(tiny_file)
        narrow = replace(features, X=np.array(features.X[:, :10]))
        head = Bundle.load(tiny_bundle).head
        Bundle.of(head.fit(*narrow.training_rows()), narrow, "logistic").save(tmp_path / "narrow")
        message = fail("predict", tmp_path / "narrow", images)
        assert "10" in message and str(features.X.shape[1]) in message

    def test_layers_are_those_of_the_bundle_in_its_order(self, tiny_recipe, images, tmp_path):
        recipe = replace(tiny_recipe, layers=("conv_pw_1", "avg_pool", "conv_pw_2"))
        extract(open_source(images), recipe, tmp_path / "three.h5")
        chosen = ("conv_pw_2", "conv_pw_1")
        words = [word for name in chosen for word in ("--layer", name)]
        assert invoke("train", tmp_path / "three.h5", *words, "-o", tmp_path / "two").exit_code == 0
        shown = json.loads(succeed("predict", tmp_path / "two", images, "--json"))
        features = load_features(tmp_path / "three.h5", chosen)
        assert [str(images / row_id) for row_id in features.ids] == [row["file"] for row in shown]
        expected = Bundle.load(tmp_path / "two").predict_proba(features.X)
        found = [[row["probabilities"][name] for name in features.class_names] for row in shown]
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "words",
    [
        ("train",),
        ("train", "a.h5", "--nothing"),
        ("evaluate",),
        ("evaluate", "bundle"),
        ("evaluate", "bundle", "a.h5", "--cv", "many"),
        ("evaluate", "bundle", "a.h5", "--split", "train", "--unseen-only"),
        ("evaluate", "bundle", "a.h5", "--cv", "3", "--unseen-only"),
        ("predict", "bundle", "a.png", "--csv", "--json"),
        ("predict", "bundle"),
        ("predict", "bundle", "a.png", "--backbone", "xception"),
        ("predict", "bundle", "a.png", "--image-size", "150"),
        ("predict", "bundle", "a.png", "--weights", "imagenet"),
        ("forget",),
    ],
    ids=" ".join,
)
def test_usage_ends_with_2(words):
    result = invoke(*words)
    assert result.exit_code == 2 and "Usage: " in result.stderr
    assert bool(result.stdout) == ("--json" in words)


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_help_has_an_example(command):
    assert f"Example: python -m classify {command}" in succeed(command, "--help")


def test_predict_takes_everything_from_the_bundle():
    shown = succeed("predict", "--help")
    for option in ("--backbone", "--image-size", "--weights", "--layer"):
        assert option not in shown


class TestProcess:
    """What only a process of its own shows."""

    def test_help(self, tmp_path):
        done = run_command("classify", "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert all(command in done.stdout for command in ("train", "evaluate", "predict"))

    def test_a_logistic_head_needs_no_tensorflow(self, layers):
        done, imported = imported_by("classify", "train", layers.name, cwd=layers.parent)
        assert done.returncode == 0, done.stderr
        assert "sklearn" in imported and "classify.bundle.bundle" in imported
        assert not imported & {"tensorflow", "keras", "ray", "tensorflow_datasets"}
        assert "saved layers-logistic" in done.stdout

    def test_predictions_are_all_that_is_on_stdout(self, tiny_bundle, images):
        done = run_command("classify", "predict", tiny_bundle, "red", "--json", cwd=images)
        assert (done.returncode, done.stderr) == (0, "")
        assert [row["file"] for row in json.loads(done.stdout)] == [
            f"red/{number:03d}.png" for number in range(8)
        ]

    def test_an_error_is_one_message(self, tmp_path):
        done = run_command("classify", "train", "missing.h5", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert_four_parts(done.stderr)


@pytest.mark.parametrize("command", [("train",), ("sweep", "--heads", "centroid")])
def test_labels_that_teach_nothing_are_told_before_training(command, two_layers, tmp_path):
    contents = FeatureFile(two_layers).contents
    splits = np.where(contents.labels == 2, 2, contents.splits).astype(np.int8)
    file = changed(two_layers, tmp_path / "odd.h5", splits=splits)
    result = invoke(command[0], file, *command[1:], "-o", tmp_path / "bundle", "--json")
    untrained, thin = json.loads(result.stdout)["warnings"]
    assert "1 class has no training row: cow" in untrained and f"warning: {untrained}\n" in result.stderr
    assert (
        "fewer than two rows in a split: cow (0 validation)" in thin and f"warning: {thin}\n" in result.stderr
    )


LONE = {  # all training rows but few are ants, so that a head that has not learned answers ant
    "train": ("--head", "knn", "--param", "k=30"),
    "sweep": ("--heads", "knn"),
}


@pytest.mark.parametrize("command", LONE)
def test_a_head_that_knows_one_answer_is_told_of(command, two_layers, tmp_path):
    contents = FeatureFile(two_layers).contents
    labels = np.where((contents.splits == 0) & (np.arange(60) % 12 != 1), 0, contents.labels).astype(np.int32)
    file = changed(two_layers, tmp_path / "lone.h5", labels=labels)
    words = LONE[command]
    result = invoke(command, file, "--layer", "noise", *words, "-o", tmp_path / "bundle", "--json")
    found = [text for text in json.loads(result.stdout)["warnings"] if "predicts ant for all" in text]
    assert len(found) == 1 and f"warning: {found[0]}\n" in result.stderr


SPLITS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2] * 5)


@pytest.mark.parametrize("command", [("train",), ("sweep", "--heads", "centroid", "--jobs", "1")])
@pytest.mark.parametrize(
    ("splits", "options"),
    [
        (SPLITS.clip(max=1), ["--cv", "5"]),
        (SPLITS, []),
        (np.where(np.arange(60) < 6, 0, 1), ["--cv", "5"]),
    ],
)
def test_what_comes_next_does_not_refuse(command, splits, options, two_layers, tmp_path):
    file = changed(two_layers, tmp_path / "a file.h5", splits=splits.astype(np.int8))
    words = invoke(command[0], file, *command[1:], "-o", tmp_path / "bundle").stdout.splitlines()[-1]
    assert words.startswith("next: python -m classify ")
    following = shlex.split(words)[4:]
    assert following[3:] == options
    succeed(*following)


def test_groups_that_do_not_divide_are_judged_without_folds(two_layers, tmp_path):
    groups = tuple(np.where(np.arange(60) % 12 < 6, "a", "b").tolist())
    file = changed(two_layers, tmp_path / "g.h5", splits=(SPLITS > 0).astype(np.int8), groups=groups)
    *_, note, words = succeed("train", file, "-o", tmp_path / "bundle").splitlines()
    assert note == "note: no test rows"
    succeed(*shlex.split(words)[4:])


ODD = ("$5 bill $10 note", "-o", "[bold]red", "unknown", "very " * 40 + "long", "\u732b")


def test_long_names_are_short_in_tables_and_whole_in_json(two_layers, tmp_path):
    labels = (np.arange(60) % 6).astype(np.int32)
    file = changed(two_layers, tmp_path / "odd.h5", class_names=ODD, labels=labels)
    assert f"{shortened(ODD[1])} (0 test)" in invoke("train", file, "-o", tmp_path / "bundle").stderr
    report = json.loads(succeed("evaluate", tmp_path / "bundle", file, "--json"))
    assert [row["name"] for row in report["classes"]] == list(ODD)
    lines = succeed("evaluate", tmp_path / "bundle", file).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("class"))
    table = lines[start + 1 : start + 1 + len(ODD)]
    assert len({cell_len(line) for line in lines[start : start + 1 + len(ODD)]}) == 1
    assert [line.split("  ")[0] for line in table] == [shortened(name) for name in ODD]
    assert cell_len(table[0]) < 80 and max(map(cell_len, lines)) < 130


def csv_lines(rows, asked=None):
    text = "".join(Layout(PREDICTED_IMAGES, asked or Asked()).csv([rows]))
    return text.removesuffix("\n").split("\n")


def test_an_abstention_is_told_apart_from_a_class_named_unknown():
    made = [Prediction("a.png", "unknown", 0.9, {}, False), Prediction("b.png", "unknown", None, {}, True)]
    rows = [prediction.to_dict() for prediction in made]
    assert [line.split()[1:] for line in prediction_lines(rows)[1:]] == [
        ["unknown", "0.9000"],
        ["(unknown)", "-"],
    ]
    assert csv_lines(rows, Asked(abstain=0.1))[1:] == ["a.png,unknown,0.9,,False", "b.png,unknown,,,True"]
    assert csv_lines(rows)[0] == "file,label,probability,error"


def test_tables_of_predictions_hold_odd_and_long_names():
    rows = [Prediction(f"{number}\n.png", name, 0.5, {}).to_dict() for number, name in enumerate(ODD)]
    rows.append(Prediction("folder/" * 30, ODD[0], 0.5, {}).to_dict())
    lines = prediction_lines(rows)
    assert len(lines) == 8 and not any("\n" in line for line in lines)
    assert len({cell_len(line) for line in lines[1:]}) == 1 and cell_len(lines[1]) <= 80
    assert lines[-1].startswith("folder/folder/") and "..." in lines[-1]
    assert csv_lines(rows)[-1].startswith("folder/" * 30 + ",")


def test_predictions_show_paths_below_the_common_folder():
    made = [Prediction(f"/photos/new/{name}", "cat", 0.5, {}).to_dict() for name in ("a/1.png", "2.png")]
    assert [line.split()[0] for line in prediction_lines(made)] == ["file", "a/1.png", "2.png"]
    assert [line.split(",")[0] for line in csv_lines(made)[1:]] == [
        "/photos/new/a/1.png",
        "/photos/new/2.png",
    ]


def test_what_is_no_bundle_is_told_in_plain_words(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("missing", "received: a path that does not exist"),
        ("file", "received: a file\n"),
        ("empty", "received: a folder without a bundle.json"),
    ):
        said = fail("predict", tmp_path / name, tmp_path)
        assert words in said and "Error" not in said
    with pytest.raises(FileNotFoundError):
        Bundle.load(tmp_path / "missing")


def test_one_row_is_in_the_singular(two_layers, tmp_path):
    splits = np.where(np.arange(60) == 0, 2, 0).astype(np.int8)
    file = changed(two_layers, tmp_path / "one.h5", splits=splits)
    assert "ant (1 test)" in invoke("train", file, "-o", tmp_path / "bundle").stderr
    assert succeed("evaluate", tmp_path / "bundle", file).startswith("test, 1 row; 95 %")
