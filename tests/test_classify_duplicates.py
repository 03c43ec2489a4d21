"""Nearest rows, and images that are there several times: within a class, of two labels, across splits."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from conftest import extract_with
from invoking import fail, invoke, succeed
from small import drawn_features, on_disk, write_two_layers

from classify import load_features
from classify.audit import duplicates
from classify.audit.clusters import clusters_of
from classify.audit.duplicates import KINDS, Duplicates, find_duplicates, groups_csv, write_groups
from classify.audit.gaps import NEIGHBOURS, NOTHING, copies
from classify.audit.leaks import audited_leaks, leak_scores
from classify.features import neighbours
from classify.features.neighbours import nearest, nearest_of_all, unit_rows
from classify.features.projection import nearest_projected
from data import HeadstartError, open_source
from data.output.csv_file import csv_text
from data.output.ours import kind_of_output
from data.tables.groups import read_groups


def different(rows: int, seed: int = 0, width: int = 32) -> np.ndarray:
    """Draw features of rows that are no copies, in as many dimensions as real ones seem to have."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(rows, 12)) @ generator.normal(size=(12, width)) + 3
    return np.maximum(points, 0).astype(np.float32)


def copied(X: np.ndarray, rows, noise: float, seed: int = 9) -> np.ndarray:
    """Return some rows with a little noise, relative to their length."""
    drawn = np.random.default_rng(seed).normal(size=(len(rows), X.shape[1]))
    lengths = np.linalg.norm(X[rows], axis=1) / np.linalg.norm(drawn, axis=1)
    return (X[rows] + noise * lengths[:, None] * drawn).astype(np.float32)


def features_of(X: np.ndarray, **values):
    """Make features of one class in the training split, or as they are given."""
    usual = {
        "X": X,
        "y": np.zeros(len(X), np.int32),
        "ids": tuple(f"{row:04d}.png" for row in range(len(X))),
        "digests": np.random.default_rng(1).integers(0, 256, (len(X), 32), np.uint8),
        "splits": np.zeros(len(X), np.int8),
    }
    return replace(drawn_features(), **usual | values)


def by_hand(X: np.ndarray, k: int) -> np.ndarray:
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return -np.sort(-cosine, axis=1)[:, :k]


@pytest.fixture(params=[7, 64, 2048])
def block(request, monkeypatch) -> int:
    """Rows of a block: many blocks, several, one."""
    monkeypatch.setattr(neighbours, "_BLOCK", request.param)
    monkeypatch.setattr(neighbours, "_HELD", 2 * request.param * 4 * 32)
    return request.param


def test_blocks_give_the_nearest_rows(block):
    X = different(200)
    rows, cosine = nearest_of_all(X, np.arange(200), 9)
    np.testing.assert_allclose(cosine, by_hand(X, 9), atol=1e-6)
    unit = unit_rows(X, np.arange(200))
    np.testing.assert_allclose(np.einsum("nd,nkd->nk", unit, unit[rows]), cosine, atol=1e-6)
    again, same = nearest(X, np.arange(200), 9)
    assert (again == rows).mean() > 0.99  # equal cosines may differ by rounding
    np.testing.assert_allclose(same, cosine, atol=1e-6)


def test_neighbours_are_sought_among_some_rows_alone(block):
    X = different(120)
    among = np.arange(1, 120, 3)
    rows, cosine = nearest(X, np.array([4, 5]), 5, among)
    assert np.isin(rows, among).all() and 4 not in rows[0]
    unit = unit_rows(X, np.arange(120))
    np.testing.assert_allclose(cosine[1], np.sort(unit[5] @ unit[among].T)[::-1][:5], atol=1e-6)
    inside, _ = nearest_of_all(X, among, 3)
    assert np.isin(inside, among).all() and not (inside == among[:, None]).any()


def test_rows_that_are_read_have_the_same_neighbours(block, tmp_path):
    features = features_of(different(150))
    read = on_disk(features, tmp_path, parts=2)
    expected = nearest_of_all(features.X, np.arange(150), 4)
    np.testing.assert_array_equal(nearest_of_all(read.X, np.arange(150), 4), expected)


def test_few_rows_have_few_neighbours():
    rows, cosine = nearest(np.eye(3, dtype=np.float32), np.array([0, 1]), 5, np.array([1, 2]))
    assert rows.tolist() == [[1, 2], [2, -1]]
    assert cosine.tolist() == [[0, 0], [0, -np.inf]]
    assert nearest_of_all(np.ones((1, 4), np.float32), np.arange(1), 5)[0].shape == (1, 0)


def test_zeros_have_no_direction_and_nan_is_refused():
    X = different(40)
    X[3] = 0
    assert (nearest_of_all(X, np.arange(40), 5)[1][3] == 0).all()
    X[7, 2] = np.nan
    with pytest.raises(HeadstartError, match="NaN"):
        nearest_of_all(X, np.arange(40), 5)


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_copies_are_found_and_others_rarely(noise):
    X = different(2000)
    planted = np.arange(0, 2000, 10)
    features = features_of(np.concatenate([X, copied(X, planted, noise)]))
    found = find_duplicates(features)
    pairs = set(map(tuple, found.pairs.tolist()))
    right = {(int(row), 2000 + number) for number, row in enumerate(planted)}
    assert len(pairs & right) >= 0.98 * len(right)
    assert len(pairs - right) <= 4, "2 of 2,000 rows are expected"
    assert 0 < found.thresholds.ratio < 0.9


def test_the_rate_of_false_alarms_is_the_stated_one():
    near = nearest_of_all(different(6000, seed=3), np.arange(6000), NEIGHBOURS)
    rates = {rate: len(np.unique(copies(*near, rate)[0])) / 6000 for rate in (0.001, 0.01)}
    assert rates[0.001] <= 0.003 and 0.003 < rates[0.01] < 0.03


@pytest.mark.parametrize(("each", "least"), [(2, 490), (4, 480), (7, 440)])
def test_a_data_set_of_augmented_copies_is_found_out(each, least):
    X = different(500)
    parts = [copied(X, np.arange(500), 0.05, seed) for seed in range(each - 1)]
    found = find_duplicates(features_of(np.concatenate([X, *parts])))
    clusters = found.clusters.reshape(each, 500)
    assert (clusters == clusters[0]).mean() > 0.97
    assert len(np.unique(clusters)) > least, "a cluster that holds two images is the exception"


def test_more_copies_than_neighbours_that_are_looked_at():
    X = different(1500)
    found = find_duplicates(features_of(np.concatenate([X, copied(X, np.full(3 * NEIGHBOURS, 5), 0.03)])))
    assert (found.clusters[1500:] == found.clusters[5]).all() and found.clusters[5] >= 0
    assert np.bincount(found.clusters[found.clusters >= 0]).max() == 3 * NEIGHBOURS + 1


def test_of_few_rows_equal_ones_are_found():
    X = different(20)
    X[11] = X[4]
    found = find_duplicates(features_of(X))
    assert found.pairs.tolist() == [[4, 11]] and found.thresholds == NOTHING
    assert KINDS[found.kinds[0]] == "equal features"
    assert not len(find_duplicates(features_of(X[:1])).pairs)


def contradicting() -> tuple:
    """Features of 300 rows with a pair of each kind, and their duplicates."""
    X, digests = different(300), np.random.default_rng(1).integers(0, 256, (300, 32), np.uint8)
    y, splits = np.arange(300, dtype=np.int32) % 2, np.zeros(300, np.int8)
    X[1], digests[1] = X[0], digests[0]  # equal bytes, two labels
    X[21] = X[10]  # equal features, two labels
    X[40] = copied(X, [30], 0.02)  # near, two splits
    splits[40] = 2
    X[54] = copied(X, [50], 0.02)  # near, one class
    X[61] = copied(X, [60], 0.02)  # near, of which one has no label
    y[61], splits[61] = -1, 2
    features = features_of(X, y=y, splits=splits, digests=digests)
    return features, find_duplicates(features)


def test_findings_say_what_is_wrong_the_surest_first():
    features, found = contradicting()
    told = [(each.kind, each.id) for each in found.findings(features)]
    assert told[:3] == [("contradiction", "0000.png"), ("contradiction", "0010.png"), ("leak", "0030.png")]
    assert {("duplicate", "0050.png"), ("duplicate", "0060.png")} <= set(told[3:])
    first, second, leak = found.findings(features)[:3]
    assert first.reason == "2 images, equal bytes: 0000.png (ant), 0001.png (bee)"
    assert (first.score, first.label) == (1, "ant") and second.score < 1
    assert first.evidence == (features.digests[1].tobytes().hex(),)
    assert "0030.png (train), 0040.png (test)" in leak.reason and leak.score < second.score


def test_leaking_rows_are_the_labelled_ones_that_training_shows():
    features, found = contradicting()
    assert found.leaking(features).tolist() == [40]
    assert not len(found.leaking(features, "validation"))


def test_a_cluster_of_several_kinds_is_told_by_the_pair_that_shows_it():
    X, y = different(300), np.zeros(300, np.int32)
    digests = np.random.default_rng(1).integers(0, 256, (300, 32), np.uint8)
    X[1], digests[1] = X[0], digests[0]
    X[2], y[2] = copied(X, [0], 0.02), 1
    features = features_of(X, y=y, digests=digests)
    [told] = find_duplicates(features).findings(features)[:1]
    assert told.kind == "contradiction" and "near-duplicates" in told.reason and told.score < 1


def test_a_chain_is_no_cluster():
    angles = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pairs = np.stack([np.arange(6), np.arange(1, 7)], axis=1)
    clusters = clusters_of(X, pairs, np.full(6, np.cos(0.1)))
    assert clusters.max() >= 1 and np.bincount(clusters[clusters >= 0]).max() == 3
    assert (np.diff(clusters[clusters >= 0]) >= 0).all()


def test_groups_hold_clusters_together():
    features, found = contradicting()
    groups = found.groups(features)
    assert groups[0] == groups[1] == f"copies of {features.digests[0].tobytes().hex()[:16]}"
    assert groups[2] == "" and groups[30] == groups[40] != groups[0]
    own = ["" for _ in groups]
    own[0], own[2], own[10], own[40] = "b", "b", "c", "a"
    merged = found.groups(replace(features, groups=tuple(own)))
    assert [merged[row] for row in (0, 1, 2, 10, 21, 30, 40, 3)] == [*"bbbccaa", ""]


def test_groups_are_written_once_an_image(tmp_path):
    features, found = contradicting()
    rows = list(csv.reader(io.StringIO(groups_csv(features, found))))
    assert rows[0] == ["digest", "group"]
    digests = [digest for digest, _ in rows[1:]]
    assert len(digests) == len(set(digests)) and features.digests[40].tobytes().hex() in digests
    assert features.digests[2].tobytes().hex() not in digests
    for _ in range(2):  # our own list may be replaced
        write_groups(tmp_path / "groups.csv", features, found)
    assert read_groups(tmp_path / "groups.csv").of.keys() == set(map(bytes.fromhex, digests))
    (tmp_path / "other.csv").write_text("a stranger's\n")
    with pytest.raises(HeadstartError, match="no list of groups"):
        write_groups(tmp_path / "other.csv", features, found)


def test_groups_of_no_duplicates_are_the_rows_own():
    features = features_of(different(3), groups=("a", "", "a"))
    assert find_duplicates(features).groups(features) == ("a", "", "a")
    assert find_duplicates(replace(features, groups=())).groups(replace(features, groups=())) == ("",) * 3


def test_names_of_images_stay_on_one_line():
    X = different(300)
    X[1] = X[0]
    names = ("=cmd()\n</script>", "x" * 400, *(f"{row}" for row in range(298)))
    features = features_of(X, ids=names)
    [told] = find_duplicates(features).findings(features)[:1]
    assert "\n" not in told.reason and len(told.reason) <= 300 and told.id == names[0]


def test_features_in_blocks_give_the_same(tmp_path, block):
    features, found = contradicting()
    again: Duplicates = find_duplicates(on_disk(features, tmp_path))
    np.testing.assert_array_equal(again.pairs, found.pairs)
    np.testing.assert_array_equal(again.clusters, found.clusters)


def digits_with_a_leak():
    """Features of real digits, their pixels; of a tenth of the test images a coarser copy is in training."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, test = X.astype(np.float32), np.arange(0, len(X), 4)
    copied = np.random.default_rng(0).choice(test, len(test) // 10, replace=False)
    splits = np.zeros(len(X) + len(copied), np.int8)
    splits[test] = 2
    X = np.concatenate([X, np.round(X[copied] / 2) * 2])
    names = tuple(map(str, range(10)))
    y = np.concatenate([y, y[copied]]).astype(np.int32)
    return features_of(X, y=y, splits=splits, class_names=names), copied


def judge_a_leak(features, planted: np.ndarray, copies: np.ndarray):
    """Hold the scores of a leak to what they promise; return them, and the rows that leak.

    Parameters
    ----------
    features : FeatureMatrix
    planted, copies : ndarray of int
        Test rows, and the training rows that show the same.
    """
    from classify.heads.table import make_head

    found = find_duplicates(features)
    leaking, scores = found.leaking(features), audited_leaks(features, found, 0.001)
    assert np.isin(planted, leaking).mean() >= 0.9
    assert (scores.rows, scores.leaking) == (len(features.rows("test")), len(leaking))
    clean, training = np.setdiff1d(features.rows("test"), leaking), features.rows("train")
    same_head, without_copies = (
        (make_head("logistic", C=0.001).fit(features.X[rows], features.y[rows]).predict(features.X[clean]))
        for rows in (training, np.setdiff1d(training, copies))
    )
    interval = scores.clean["accuracy"]
    assert interval["value"] == pytest.approx((same_head == features.y[clean]).mean())
    assert interval["low"] <= (without_copies == features.y[clean]).mean() <= interval["high"]
    return scores, leaking


def test_a_planted_leak_is_found_and_its_scores_are_those_of_the_clean_rows():
    features, planted = digits_with_a_leak()
    copies = np.arange(len(features.X))[-len(planted) :]
    scores, leaking = judge_a_leak(features, planted, copies)
    assert scores.seen["accuracy"]["value"] > 0.8
    assert f"without {len(leaking)} rows that training has too: 0." in scores.sentence()
    assert scores.to_dict()["clean"]["log_loss"]["value"] > 0


def test_nothing_is_trained_where_no_row_leaks(monkeypatch):
    monkeypatch.setattr("classify.audit.leaks.trained_proba", None)
    features = features_of(different(200))
    assert audited_leaks(features, find_duplicates(features), 0.001) is None


def test_leaks_of_rows_on_disk_are_those_of_rows_in_memory(tmp_path):
    features, _ = digits_with_a_leak()
    found = find_duplicates(features)
    read = audited_leaks(on_disk(features, tmp_path), found, 0.001)
    assert read.clean == audited_leaks(features, found, 0.001).clean


def test_where_all_rows_leak_nothing_is_left():
    proba = np.array([[0.9, 0.1], [0.2, 0.8]])
    scores = leak_scores(np.array([0, 1]), proba, np.ones(2, bool), ["ant", "bee"])
    assert scores.clean is None and scores.seen == scores.everything
    assert "nothing is left" in scores.sentence()
    assert (
        "no labelled test rows"
        in leak_scores(np.empty(0, int), proba[:0], np.empty(0, bool), ["ant"]).sentence()
    )


@pytest.mark.slow
def test_a_leak_of_cropped_photographs_is_found(shared, imagenet, tmp_path):
    from PIL import Image

    from data.sources.folder import open_folder
    from extract import Recipe, extract

    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        photos = sorted((shared / "photos" / "train" / name).glob("*.jpg"))[:250]
        test = {int(row) for row in generator.choice(250, 80, replace=False)}
        for number, path in enumerate(photos):
            folder = tmp_path / "photos" / ("test" if number in test else "train") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).symlink_to(path)
        for number in sorted(test)[:8]:
            with Image.open(photos[number]) as image:
                x, y = round(0.025 * image.width), round(0.025 * image.height)
                cropped = image.convert("RGB").crop((x, y, image.width - x, image.height - y))
            cropped.save(tmp_path / "photos" / "train" / name / f"z {photos[number].name}", quality=75)
    file = tmp_path / "photos.h5"
    extract(open_folder(tmp_path / "photos"), Recipe.for_backbone("xception"), file)
    features = load_features(file)
    copies = np.array([row for row, name in enumerate(features.ids) if "/z " in name])
    planted = [
        features.ids.index(features.ids[row].replace("train", "test").replace("z ", "")) for row in copies
    ]
    _, leaking = judge_a_leak(features, np.array(planted), copies)
    assert len(np.setdiff1d(leaking, planted)) <= 3, "1 of 1,000 rows is expected"


@pytest.fixture
def two_layers(tmp_path):
    return write_two_layers(tmp_path)


def listed(path, features, groups: dict[str, list[int]]):
    """Write a list of groups of some rows."""
    rows = [(features.digests[row].tobytes().hex(), name) for name, rows in groups.items() for row in rows]
    path.write_text(csv_text(("digest", "group"), rows))
    return path


def test_groups_of_a_list_hold_in_every_command(tmp_path, two_layers):
    features = load_features(two_layers)
    training, test = features.rows("train"), features.rows("test")
    inside = listed(tmp_path / "inside.csv", features, {"=a": training[:2].tolist(), "b": test[:2].tolist()})
    told = succeed("train", two_layers, "--groups", inside, "-o", tmp_path / "head")
    assert "--groups" not in told, "there are test rows"
    swept = invoke("sweep", two_layers, "--groups", inside, "--heads", "ridge", "-o", tmp_path / "best")
    assert swept.exit_code == 0
    all_folds = succeed("evaluate", tmp_path / "head", two_layers, "--cv", 3, "--groups", inside)
    assert all_folds != succeed("evaluate", tmp_path / "head", two_layers, "--cv", 3)
    divided = listed(tmp_path / "divided.csv", features, {"c": [training[0], test[0]]})
    for command in ("train", "sweep"):
        told = fail(command, two_layers, "--groups", divided)
        assert "rows of one group" in told and "1 group in several: c" in told
    assert "goes with --cv" in invoke("evaluate", tmp_path / "head", two_layers, "--groups", inside).stderr


def test_other_files_are_no_lists_of_groups(tmp_path, two_layers):
    features = load_features(two_layers)
    for name, text, words in (
        ("id.csv", "id,group\na,b\n", "lacks the column 'digest'"),
        ("short.csv", "digest,group\nabc,b\n", "line 2 names no image"),
        ("two.csv", "digest,group\n" + "".join(f"{'0a' * 32},{name}\n" for name in "bc"), "two groups"),
        ("strange.csv", f"digest,group\n{'ff' * 32},b\n", "names none of the images"),
    ):
        (tmp_path / name).write_text(text)
        assert words in fail("train", two_layers, "--groups", tmp_path / name)
    assert "is no list of groups" in fail("train", two_layers, "--groups", two_layers)
    assert "is no list of groups" in fail("train", two_layers, "--groups", tmp_path)
    assert "there is no list of groups" in fail("train", two_layers, "--groups", tmp_path / "none.csv")
    assert kind_of_output(listed(tmp_path / "ours.csv", features, {"a": [0]})) == "list of groups"


def test_groups_without_a_name_leave_the_rows_own(tmp_path):
    features = replace(features_of(different(3)), groups=("a", "b", ""))
    path = listed(tmp_path / "list.csv", features, {"": [0], " =x": [1]})
    assert features.with_groups(read_groups(path).of).groups == ("a", "=x", "")


def test_a_run_keeps_listed_groups_in_one_split(tiny_recipe, images, tmp_path):
    from data.tables.groups import Groups
    from extract.feature_file.reader import FeatureFile
    from extract.run.compare import compare
    from extract.run.scan import grouped, scan_source

    source, path = open_source(images), tmp_path / "images.h5"
    scan = scan_source(source)
    of = {digest: f"pair {row // 2}" for row, digest in enumerate(scan.digests[:10])}
    groups = Groups(tmp_path / "list.csv", of)
    extract_with(source, tiny_recipe, path, scan=grouped(scan, groups))
    contents = FeatureFile(path).contents
    assert contents.groups[:10] == tuple(f"pair {row // 2}" for row in range(10))
    assert contents.groups[10:] == ("",) * 6
    assert (contents.splits[:10:2] == contents.splits[1:10:2]).all()
    assert not compare(path, source).problems
    report = extract_with(source, tiny_recipe, path)
    assert report.computed == 0 and not FeatureFile(path).contents.groups


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_very_many_rows_are_searched_by_projections(noise, monkeypatch, tmp_path):
    X = different(3000, width=160)
    X = np.concatenate([X, copied(X, np.arange(0, 3000, 10), noise), X[:1]])
    features = features_of(X)
    every = find_duplicates(features)
    monkeypatch.setattr(duplicates, "EXACT", 100)
    monkeypatch.setattr(duplicates, "_SAMPLE", 1000)
    found = find_duplicates(on_disk(features, tmp_path))
    known, pairs = (set(map(tuple, each.pairs.tolist())) for each in (every, found))
    assert len(known & pairs) >= 0.97 * len(known)
    assert len(pairs - known) <= 5
    assert KINDS[found.kinds[found.pairs.tolist().index([0, 3300])]] == "equal features"
    assert found.thresholds.ratio == pytest.approx(every.thresholds.ratio, rel=0.1)


def test_projections_find_most_of_the_nearest_rows():
    X = different(3000, width=160)
    exact, _ = nearest_of_all(X, np.arange(3000), 10)
    rows = np.arange(0, 3000, 2)
    places, cosine = nearest_projected(X, rows, 10)
    among, _ = nearest_of_all(X, rows, 10)
    assert (rows[places] == among[:, :1]).any(axis=1).mean() > 0.9
    assert (np.diff(cosine, axis=1) <= 0).all() and not (places == np.arange(1500)[:, None]).any()
    places, _ = nearest_projected(X, np.arange(3000), 10)
    assert (places == exact[:, :1]).any(axis=1).mean() > 0.9
