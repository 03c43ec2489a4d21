"""Figures: which are drawn, that they show the report, and how they are written."""

import numpy as np
import pytest
from conftest import assert_four_parts
from PIL import Image
from small import NAMES, draw, drawn_features

from classify import HEADS
from classify.scores import figures as module
from classify.scores.evaluate import evaluate
from classify.scores.figures import MOST_CLASSES_NAMED, check_figures, write_figures
from classify.scores.learning_curve import learning_curve
from data import HeadstartError


@pytest.fixture(scope="module")
def curve() -> dict:
    """A learning curve of drawn features."""
    return learning_curve(HEADS["logistic"](), drawn_features(200), repeats=2).to_dict()


def names(paths) -> list[str]:
    """Return the names of paths, after a look whether they are pictures."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG" and min(image.size) > 300
            assert len(np.unique(np.asarray(image.convert("L")))) > 20
    return [path.name for path in paths]


def test_two_classes_have_all_figures(curve, tmp_path):
    y, proba = draw(90, 2)
    report = {**evaluate(y, proba, ["cat", "dog"]), "split": "test", "learning_curve": curve}
    written = write_figures(tmp_path / "new" / "figures", report, y, proba)
    assert names(written) == ["confusion.png", "reliability.png", "roc.png", "learning_curve.png"]
    assert sorted(written) == sorted((tmp_path / "new" / "figures").iterdir())


@pytest.mark.parametrize("case", ["three classes", "one class has no rows", "no probabilities"])
def test_what_is_not_there_is_not_drawn(case, tmp_path):
    y, proba = draw(60, 3 if case == "three classes" else 2)
    y = y * 0 if case == "one class has no rows" else y
    report = evaluate(y, proba, NAMES[: proba.shape[1]])
    given = () if case == "no probabilities" else (y, proba)
    assert names(write_figures(tmp_path, report, *given)) == ["confusion.png", "reliability.png"]


def test_figures_show_the_report(curve):
    y, proba = draw(200, 2)
    report = {**evaluate(y, proba, ["cat", "dog"]), "split": "test"}
    confusion = module._confusion(report).axes[0]
    assert [text.get_text() for text in confusion.texts] == [str(n) for n in np.ravel(report["confusion"])]
    assert [label.get_text() for label in confusion.get_xticklabels()] == ["cat", "dog"]
    assert f"{report['accuracy']['value']:.4f}" in confusion.get_title()
    reliability, below = module._reliability(report).axes
    bins = [row for row in report["reliability"] if row["rows"]]
    shown = reliability.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(shown, [[row["confidence"], row["accuracy"]] for row in bins])
    assert [bar.get_height() for bar in below.patches] == [row["rows"] for row in bins]
    roc = module._roc(report, y, proba).axes[0].lines[1].get_xydata()
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(report["roc_auc"]["value"])
    axes = module._learning_curve(curve).axes[0]
    shown = axes.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(shown, [[point["rows"], point["mean"]] for point in curve["points"]])
    assert curve["more_labels"].split(":")[0] in axes.get_title()


def test_long_names_are_shortened_in_the_middle_of_every_figure():
    y, proba = draw(40, 2)
    report = evaluate(y, proba, [f"{'very ' * 40}{end}" for end in ("first", "last")])
    confusion = module._confusion(report).axes[0]
    shown = [label.get_text() for label in confusion.get_yticklabels()]
    assert shown == ["very very v...very first", "very very v...very last"]
    roc = module._roc(report, y, proba).axes[0]
    assert (roc.get_xlabel(), roc.get_ylabel()) == (
        f"share of {shown[0]} taken for {shown[1]}",
        f"share of {shown[1]} found",
    )


def test_names_are_drawn_as_they_are(tmp_path):
    y, proba = draw(40, 2)
    given = ["$\\frac$", "犬_{"]
    report = evaluate(y, proba, given)
    assert len(names(write_figures(tmp_path, report, y, proba))) == 3
    labels = module._confusion(report).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == given


def test_many_classes(tmp_path):
    count = MOST_CLASSES_NAMED + 1
    y, proba = draw(200, count)
    report = evaluate(y, proba, [f"class {k}" for k in range(count)])
    assert not module._confusion(report).axes[0].texts
    assert names(write_figures(tmp_path, report))


def test_figures_are_replaced_and_other_files_stay(tmp_path):
    report = evaluate(*draw(40, 2), ["cat", "dog"])
    (tmp_path / "notes.txt").write_text("precious")
    write_figures(tmp_path, report)
    (tmp_path / "confusion.png").rename(tmp_path / "reliability.png")
    expected = (tmp_path / "reliability.png").read_bytes()
    assert "confusion.png" in names(write_figures(tmp_path, report))
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "confusion.png", "reliability.png"}
    assert (tmp_path / "notes.txt").read_text() == "precious"
    drawn, other = ((tmp_path / name).read_bytes() for name in ("confusion.png", "reliability.png"))
    assert drawn == expected != other


def test_a_picture_of_the_users_is_refused_and_stays(tmp_path):
    report = evaluate(*draw(40, 2), ["cat", "dog"])
    Image.new("RGB", (9, 9)).save(tmp_path / "roc.png")
    with pytest.raises(HeadstartError, match=r"roc.png.* is no figure that Headstart wrote"):
        write_figures(tmp_path, report)
    assert [path.name for path in tmp_path.iterdir()] == ["roc.png"]


def test_a_figure_that_fails_leaves_the_old_one_alone(tmp_path):
    class Broken:
        def savefig(self, file, **values):
            file.write(b"half")
            raise OSError("no room")

    (tmp_path / "one.png").write_bytes(b"old")
    with pytest.raises(OSError, match="no room"):
        module.save_figure(Broken(), tmp_path / "one.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("where", ["taken", "taken/below"])
def test_a_file_in_the_place_of_the_folder_is_refused(where, tmp_path):
    (tmp_path / "taken").write_text("a file")
    for act in (check_figures, lambda folder: write_figures(folder, evaluate(*draw(9, 2), ["cat", "dog"]))):
        with pytest.raises(HeadstartError) as caught:
            act(tmp_path / where)
        assert_four_parts(str(caught.value))
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_look_makes_no_folder(tmp_path):
    check_figures(tmp_path / "new" / "figures")
    assert not list(tmp_path.iterdir())
