"""Abstention: the promised share of familiar images, nearly all strange ones, plain arrays on disk."""

import numpy as np
import pytest
from conftest import assert_four_parts

from classify.bundle.detector import Detector
from data import HeadstartError

WIDTH, CLASSES = 32, 4


def draw(rows: int, seed: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw features around a few directions, one for each class, of lengths that vary."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, rows)
    X = np.eye(WIDTH)[first + labels] + generator.normal(0, 0.08, (rows, WIDTH))
    return (X * generator.uniform(1, 9, (rows, 1))).astype(np.float32), labels


@pytest.fixture(scope="module")
def detector():
    return Detector.fit(draw(600, 0)[0], draw(500, 1)[0])


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_the_promised_share_of_familiar_images_is_unknown(rate):
    train, validation, new = (draw(rows, seed)[0] for seed, rows in enumerate((600, 2000, 4000)))
    detector = Detector.fit(train, validation)
    assert detector.unknown(validation, rate).mean() == pytest.approx(rate, abs=1.01 / 2000)
    assert detector.unknown(new, rate).mean() == pytest.approx(rate, abs=0.025)


def test_the_share_is_kept_on_average_also_by_few_validation_images():
    """So the conformal rank does, where the plain quantile of 19 scores gives 0.1 instead of 0.05."""
    train, new = draw(300, 0)[0], draw(500, 1)[0]
    shares = [Detector.fit(train, draw(19, seed)[0]).unknown(new, 0.05).mean() for seed in range(100, 300)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.012)


def test_far_images_are_unknown(detector):
    far, _ = draw(500, 2, first=CLASSES)
    assert detector.unknown(far).mean() > 0.99
    assert detector.unknown(far).dtype == bool
    assert detector.score(far).min() > detector.threshold(0.01)


def test_the_score_is_the_mean_cosine_distance_to_the_nearest(detector):
    train, new = draw(600, 0)[0].astype(float), draw(3000, 3)[0].astype(float)
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    expected = np.sort(1 - new @ train.T, axis=1)[:, :5].mean(axis=1)
    np.testing.assert_allclose(detector.score(draw(3000, 3)[0]), expected, atol=1e-3)


def test_rows_alone_and_together_have_the_same_score(detector):
    X = draw(2500, 4)[0]
    together = detector.score(X)
    np.testing.assert_allclose(
        [detector.score(row[np.newaxis])[0] for row in X[::250]], together[::250], atol=1e-6
    )


def test_rows_of_nan_or_zeros_are_unknown(detector):
    assert detector.unknown(np.array([[np.nan] * WIDTH, [0.0] * WIDTH])).tolist() == [True, True]


def test_the_scale_of_features_changes_nothing(detector):
    X = draw(50, 5)[0]
    np.testing.assert_allclose(detector.score(X), detector.score(X * 100), atol=1e-6)


def test_many_rows_are_drawn_by_a_seed():
    train, validation = draw(500, 0)[0], draw(100, 1)[0]
    one, same, other = (Detector.fit(train, validation, most=50, seed=seed) for seed in (0, 0, 1))
    assert one.reference.shape == (50, WIDTH)
    np.testing.assert_array_equal(one.reference, same.reference)
    assert not np.array_equal(one.reference, other.reference)


def test_rare_classes_are_kept_where_rows_are_left_out():
    common, rare = draw(1000, 0)[0], draw(6, 1, first=20)[0]
    train, labels = np.concatenate([common, rare]), ["common"] * 1000 + ["rare"] * 6
    detector = Detector.fit(train, draw(100, 2)[0], most=20, y_train=np.array(labels))
    directions = detector.reference.astype(float).argmax(axis=1)
    assert (directions >= 20).sum() == 6
    assert len(directions) == 20


def test_saved_and_loaded_it_answers_the_same(detector, tmp_path):
    detector.save(tmp_path / "unknown.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["unknown.npz"]
    loaded, X = Detector.load(tmp_path / "unknown.npz"), draw(100, 6)[0]
    np.testing.assert_array_equal(loaded.score(X), detector.score(X))
    assert (loaded.threshold(0.1), loaded.neighbours) == (detector.threshold(0.1), 5)


def test_a_stored_detector_has_the_size_that_is_documented(tmp_path):
    generator = np.random.default_rng(0)
    Detector.fit(generator.random((2500, 256)), generator.random((40, 256))).save(tmp_path / "unknown.npz")
    size = (tmp_path / "unknown.npz").stat().st_size
    assert 0 <= size - 2 * 2000 * 256 < 4000


@pytest.mark.parametrize(
    "damage",
    ["missing", "text", "cut", "pickle", "format", "version", "shape", "neighbours", "order", "none"],
)
def test_a_file_that_is_no_detector_is_refused(detector, tmp_path, damage):
    path = tmp_path / "unknown.npz"
    detector.save(path)
    with np.load(path) as file:
        values = dict(file)
    changed = {
        "pickle": {"reference": np.array([{}], object)},
        "format": {"format": "another"},
        "version": {"format_version": 2},
        "shape": {"reference": values["reference"][0]},
        "neighbours": {"neighbours": 601},
        "order": {"scores": values["scores"][::-1]},
        "none": {"scores": values["scores"][:0]},
    }
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("my diary")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        np.savez(path, **values | changed[damage])
    with pytest.raises(HeadstartError) as caught:
        Detector.load(path)
    assert_four_parts(str(caught.value))


def test_a_save_that_fails_keeps_the_old_file(detector, tmp_path, monkeypatch):
    path = tmp_path / "unknown.npz"
    detector.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        detector.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("rows", "validation", "rate", "told"),
    [
        (4, 100, 0.1, "5 rows"),
        (50, 0, 0.1, "give validation images"),
        (50, 8, 0.1, "9 validation images"),
        (50, 18, 0.05, "19 validation images"),
        (50, 100, 0, "between 0 and 1"),
        (50, 100, 1, "between 0 and 1"),
        (50, 100, float("nan"), "between 0 and 1"),
    ],
)
def test_too_little_to_go_by(rows, validation, rate, told):
    with pytest.raises(HeadstartError) as caught:
        Detector.fit(draw(rows, 0)[0], draw(validation, 1)[0]).threshold(rate)
    assert_four_parts(str(caught.value))
    assert told in str(caught.value)


@pytest.mark.parametrize(("validation", "rate"), [(9, 0.1), (19, 0.05), (1, 0.5), (99, 0.01)])
def test_just_enough_validation_images(validation, rate):
    X = draw(validation, 1)[0]
    detector = Detector.fit(draw(50, 0)[0], X)
    assert detector.threshold(rate) == detector.score(X).max()


def test_features_of_another_width_or_of_nan(detector):
    for X in (np.zeros((2, WIDTH + 1)), np.zeros(WIDTH)):
        with pytest.raises(HeadstartError) as caught:
            detector.unknown(X)
        assert_four_parts(str(caught.value))
    with pytest.raises(HeadstartError, match="not finite"):
        Detector.fit(np.full((9, 2), np.nan), np.ones((30, 2)))
