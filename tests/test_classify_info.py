"""`classify info`: what a bundle is, in words and as JSON."""

import json
from dataclasses import replace

import pytest
from conftest import assert_four_parts, imported_by
from invoking import fail, succeed
from small import drawn_features
from typer.testing import CliRunner

from classify import HEADS, Bundle
from classify.bundle.manifest import write_manifest
from classify.summary import summary
from extract.cli import app as extraction
from extract.feature_file.reader import FeatureFile

QUICK = {"keras-linear": {"epochs": 2}, "mlp": {"epochs": 2, "hidden": (8,)}, "boosting": {"max_iter": 5}}


def saved(name: str, folder, features=None, **how):
    """Train a head on drawn features and save it."""
    features = features or drawn_features()
    head = HEADS[name](**QUICK.get(name, {})).fit(*features.training_rows())
    Bundle.of(head, features, name, **how).save(folder)
    return folder


@pytest.mark.parametrize("name", HEADS)
def test_every_head_tells_its_parameters(name, tmp_path):
    values = json.loads(succeed("info", saved(name, tmp_path / "bundle"), "--json"))
    assert values["head"] == name and values["class_names"] == ["ant", "bee"]
    expected = {"knn": ("n_neighbors", 5), "logistic": ("C", "auto"), "boosting": ("max_iter", 5)}
    expected |= {"keras-linear": ("epochs", 2), "mlp": ("hidden", [8]), "lda": ("shrinkage", "auto")}
    parameter, value = expected.get(name, (next(iter(values["parameters"])), ...))
    assert value in (..., values["parameters"][parameter])
    assert values["rows"] == {"train": 60, "validation": 20, "test": 20}
    assert values["rows_by_split"]["train"] == {"ant": 30, "bee": 30}
    assert values["scores"].keys() == {"train", "validation"}


def test_what_is_told_is_what_the_bundle_holds(two_layers, layers_bundle):
    values, bundle, file = summary(layers_bundle), Bundle.load(layers_bundle), FeatureFile(two_layers)
    (own,) = values["feature_sets"]
    assert own["content_digest"] == file.content_digest and own["recipe_key"] == file.recipe.key
    assert (own["layers"], own["widths"]) == (["deep"], [3])
    assert values["scores"]["validation"]["accuracy"] == bundle.scores["validation"]["accuracy"]
    assert values["versions"] == bundle.provenance["versions"] and values["corrections"] is None
    assert values["bytes"] == sum(path.stat().st_size for path in layers_bundle.iterdir())
    lines = succeed("info", layers_bundle).splitlines()
    assert lines[0].endswith(f"logistic of 3 classes, {values['bytes'] / 1e6:.1f} MB")
    assert f"file      {file.content_digest[:16]}" in lines and "feature   deep (3)" in lines
    assert any(line.startswith("  temperature       1: none lowers the log loss") for line in lines)
    assert any(line.split()[:3] == ["scores", "train", "validation"] for line in lines)


def test_detector_and_temperature_are_told(tmp_path):
    features = drawn_features()
    features.y[::7] = 1 - features.y[::7]  # so that no head is right of all rows
    folder = saved("centroid", tmp_path / "bundle", features)
    values, found = summary(folder), Bundle.load(folder)
    assert values["temperature"] == found.temperature != 1
    assert values["calibration"] == found.provenance["calibration"]
    assert values["detector"] == {"training_rows": 60, "validation_rows": 20, "neighbours": 5}
    lines = succeed("info", folder).splitlines()
    assert "detector  of 60 training and 20 validation rows" in lines
    told = values["calibration"]
    scores = f"{told['log_loss_before']:.4f} before, {told['log_loss_after']:.4f} after"
    text = f"{values['temperature']:.4f}: log loss {scores}, of 20 validation rows"
    assert f"  temperature       {text}" in lines


def test_a_temperature_of_one_is_told(tmp_path):
    folder = saved("logistic", tmp_path / "bundle")
    told = summary(folder)["calibration"]
    assert told["temperature"] == 1
    text = f"1: none lowers the log loss {told['log_loss_before']:.4f} of 20 validation rows"
    assert f"  temperature       {text}" in succeed("info", folder).splitlines()
    plain = saved("logistic", tmp_path / "plain", calibrate=False)
    assert summary(plain)["calibration"] is None
    assert "  temperature       1, not calibrated" in succeed("info", plain).splitlines()


def test_by_which_rows_sets_of_labels_are_told(tmp_path):
    folder = saved("centroid", tmp_path / "bundle")
    stored = json.loads((folder / "bundle.json").read_text()) | {"conformal": "5 folds"}
    write_manifest(folder, stored)
    assert summary(folder)["conformal"] == "5 folds"
    assert "coverage  by 5 folds" in succeed("info", folder).splitlines()


def test_names_of_any_form_are_shown_on_one_line_each(tmp_path):
    names = ("</script>\n\x1b[31m", "x" * 300)
    folder = saved("centroid", tmp_path / "bundle", replace(drawn_features(), class_names=names))
    printed = succeed("info", folder)
    assert "\x1b" not in printed and summary(folder)["class_names"] == list(names)
    table = [line for line in printed.splitlines() if "xxx" in line or "script" in line]
    assert len(table) == 2 and max(map(len, table)) <= 80


def test_neither_keras_nor_tensorflow_is_imported(tmp_path):
    for name in ("mlp", "logistic"):
        done, modules = imported_by("classify", "info", saved(name, tmp_path / name), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not {"keras", "tensorflow", "openvino"} & modules


def test_other_files_are_pointed_to_their_command(two_layers, layers_bundle, tmp_path):
    assert "python -m extract info " in fail("info", two_layers)
    assert "does not exist" in fail("info", tmp_path / "none")
    assert "without a bundle.json" in fail("info", tmp_path)
    result = CliRunner().invoke(extraction, ["info", str(layers_bundle)])
    assert result.exit_code == 1 and "python -m classify info " in result.stderr
    assert_four_parts(result.stderr)
