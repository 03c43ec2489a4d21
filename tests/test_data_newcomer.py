"""What a newcomer asks first: --version, -h, repr."""

import importlib

import numpy as np
import pytest
from small import drawn_features, drawn_set
from typer.main import get_command
from typer.testing import CliRunner

from classify import Bundle
from classify.heads.table import make_head
from data import __version__, open_source
from data.sources.arrays import from_arrays

PACKAGES = ("data", "extract", "classify")


def app_of(package):
    return importlib.import_module(f"{package}.cli").app


@pytest.mark.parametrize("package", PACKAGES)
def test_version(package):
    done = CliRunner().invoke(app_of(package), ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"headstart {__version__}\n")


@pytest.mark.parametrize("package", PACKAGES)
def test_h_is_help_on_every_command(package):
    app = app_of(package)
    commands = [[], *([name] for name in get_command(app).commands)]
    assert len(commands) > 1
    for words in commands:
        short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
        assert (short.exit_code, short.stdout) == (0, long.stdout)
        assert "Usage: " in short.stdout


@pytest.mark.parametrize("heads", ["centroid, knn", " centroid ,knn,"])
def test_names_between_commas_may_have_blanks(heads):
    from classify.commands.options import names_between_commas

    assert names_between_commas(heads) == ["centroid", "knn"]
    assert names_between_commas(None) is None


@pytest.mark.parametrize("heads", ["", " , "])
@pytest.mark.parametrize("search", [[], ["--search", "optuna"]])
def test_no_names_between_commas_are_usage(heads, search, tmp_path):
    words = ["sweep", "x.h5", "--heads", heads, "-o", str(tmp_path / "best"), *search]
    assert CliRunner().invoke(app_of("classify"), words).exit_code == 2


CASES = {
    "small": drawn_features(),
    "many classes": drawn_features(class_names=tuple(f"class number {n}" * 5 for n in range(1000))),
    "many files": drawn_features(
        feature_sets=tuple(
            drawn_set(1, layers=("avg_pool", "block4_sepconv2_bn"), image_size=71 + n) for n in range(6)
        )
    ),
    "long path": drawn_features(path="folder/" * 100 + "photos.h5"),
}


@pytest.mark.parametrize("name", CASES)
def test_repr_fits_in_five_lines(name):
    features = CASES[name]
    head = make_head("centroid").fit(*features.training_rows())
    for text in (repr(features), repr(Bundle.of(head, features, "centroid"))):
        lines = text.splitlines()
        assert len(lines) <= 5 and max(map(len, lines)) <= 130
        assert f"{len(features.class_names)} classes: {features.class_names[0][:20]}" in text
        assert "xception" in text
    assert "100 rows x 6" in repr(features) and "train 60, validation 20, test 20" in repr(features)
    assert repr(Bundle.of(head, features, "centroid")).startswith("Bundle of centroid")


def test_repr_of_a_source_is_without_its_rows(images):
    arrays = from_arrays(np.zeros((500, 8, 8), np.uint8), [0, 1] * 250)
    for source in (open_source("digits"), open_source(images), arrays):
        assert len(repr(source)) < 500
