"""What is wrong with images and labels: planted mistakes in real digits, and in drawn features."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from invoking import fail, invoke, succeed
from rich.cells import cell_len
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from small import drawn_features, on_disk

from classify import load_features
from classify.audit.audit import audit
from classify.audit.classes import confused_classes, imbalance, thin_classes
from classify.audit.label_errors import label_errors
from classify.audit.out_of_fold import folds_of, out_of_fold, sample
from classify.audit.outliers import outliers
from classify.audit.suspects import disagreements, label_suspects
from classify.commands.audit import audit_lines
from classify.features.corrections import read_corrections
from classify.heads.logistic import Logistic
from data import open_source
from extract import Recipe, extract

DIGITS = load_digits()


def digits(rows: int = 1797, wrong: int = 0, seed: int = 0, **values):
    """Return real digits as features, and which of them were given the label of another class."""
    X, y = DIGITS.data[:rows].astype(np.float32), DIGITS.target[:rows].astype(np.int32)
    generator = np.random.default_rng(seed)
    planted = np.sort(generator.choice(rows, wrong, replace=False))
    y = y.copy()
    y[planted] = (y[planted] + generator.integers(1, 10, wrong)) % 10
    usual = {
        "X": X,
        "y": y,
        "ids": tuple(f"{row:04d}.png" for row in range(rows)),
        "digests": np.random.default_rng(1).integers(0, 256, (rows, 32), np.uint8),
        "splits": (np.arange(rows) % 10 == 9).astype(np.int8) * 2,
        "class_names": tuple("0123456789"),
    }
    return replace(drawn_features(), **usual | values), planted


def test_planted_labels_come_first():
    features, planted = digits(wrong=90)
    judged = out_of_fold(features)
    first = judged.rows[judged.ranking]
    assert np.isin(first[:90], planted).sum() >= 80
    assert np.isin(first[:40], planted).all()
    found = label_suspects(features, judged)
    assert [each.id for each in found[:5]] == [features.ids[row] for row in first[:5]]
    right = {features.ids[row]: str(DIGITS.target[row]) for row in planted}
    assert sum(each.suggested == right.get(each.id) for each in found[:40]) >= 38
    assert all(len(each.evidence) == 5 and each.label != each.suggested for each in found)
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1


def test_heads_are_those_of_the_table():
    """A row is judged as by the head `logistic` of the same penalty that learns the other folds."""
    features, _ = digits(400, wrong=20)
    judged = out_of_fold(features, folds=4, penalties=[0.01], seed=3)
    of = folds_of(features.y, None, 4, np.random.default_rng(3))
    Z = StandardScaler().fit_transform(features.X)
    expected = np.zeros((400, 10))
    for fold in range(4):
        head = Logistic(C=0.01, standardize=False).fit(Z[of != fold], features.y[of != fold])
        expected[of == fold] = head.predict_proba(Z[of == fold])
    assert judged.rows.tolist() == list(range(400)) and (judged.learnt, judged.penalty) == (400, 0.01)
    assert np.abs(judged.proba - expected).max() < 0.01


def test_the_penalty_follows_the_data():
    """More features that say the same take a stronger one; fewer, a weaker one."""
    features, planted = digits(wrong=90)
    found = [out_of_fold(replace(features, X=np.tile(features.X, times))) for times in (1, 8)]
    assert found[0].penalty > found[1].penalty
    for judged in found:
        fixed = out_of_fold(features, penalties=[1e-4])
        first = [np.isin(each.rows[each.ranking[:90]], planted).sum() for each in (judged, fixed)]
        assert first[0] > first[1] + 10


def test_two_classes_and_files_read_in_blocks(tmp_path):
    features = drawn_features(rows=100)
    judged = out_of_fold(features)
    assert judged.proba.shape == (100, 2) and (judged.proba.argmax(axis=1) == features.y).all()
    again = out_of_fold(on_disk(features, tmp_path, 2))
    assert np.array_equal(again.proba, judged.proba)


def test_copies_are_in_one_fold():
    y = np.repeat([0, 1], 50)
    groups = [f"g{row % 7}" if row % 3 else "" for row in range(100)]
    of = folds_of(y, groups, 5, np.random.default_rng(0))
    for group in set(groups) - {""}:
        assert len({fold for fold, own in zip(of, groups, strict=True) if own == group}) == 1
    alone = np.array([not group for group in groups])
    counts = [np.bincount(of[alone & (y == label)], minlength=5) for label in (0, 1)]
    assert np.ptp(counts, axis=1).max() <= 2


def test_a_copy_with_another_label_does_not_hide_it():
    features, _ = digits(300)
    X, y = np.concatenate([features.X, features.X[:1]]), np.append(features.y, (features.y[0] + 1) % 10)
    digests = np.concatenate([features.digests, features.digests[:1]])
    ids, splits = (*features.ids, "copy.png"), np.append(features.splits, np.int8(2))
    twice = replace(features, X=X, y=y.astype(np.int32), digests=digests, ids=ids, splits=splits)
    found = audit(twice)
    first = found.findings[0]
    assert (first.kind, first.suggested) == ("contradiction", str(DIGITS.target[0]))
    assert found.findings[1].kind == "leak" and found.leaks.leaking == 1
    assert found.corrections[0] == (first.digest, "copy.png", str(DIGITS.target[0]))
    assert len({digest for digest, *_ in found.corrections}) == len(found.corrections)


@pytest.mark.slow
def test_real_photographs_with_two_labels_come_first(shared, imagenet, tmp_path):
    """Three of the photographs of waste lie in two classes each; labels that are swapped come next."""
    pairs = ("glass115 metal91", "glass176 plastic152", "glass389 plastic332")
    twice = {name for pair in pairs for name in pair.split()}
    for folder in sorted(path for path in (shared / "trash").iterdir() if path.is_dir()):
        (tmp_path / "trash" / folder.name).mkdir(parents=True)
        images = sorted(folder.glob("*.jpg"))
        for path in [*images[:30], *(path for path in images[30:] if path.stem in twice)]:
            (tmp_path / "trash" / folder.name / path.name).symlink_to(path)
    extract(open_source(tmp_path / "trash"), Recipe("xception", imagenet.digest), tmp_path / "trash.h5")
    found = audit(load_features(tmp_path / "trash.h5"))
    assert [each.kind for each in found.findings[:4]] == [*["contradiction"] * 3, "label suspect"]
    for each in found.findings[:3]:
        assert any(all(f"{name}.jpg" in each.reason for name in pair.split()) for pair in pairs)
        assert each.suggested in each.reason


def test_beyond_memory_heads_learn_from_a_sample(monkeypatch):
    from classify.audit import out_of_fold as module

    features, planted = digits(wrong=90)
    monkeypatch.setattr(module, "_MOST_LEARNT", 900 * 4 * 64)
    judged = out_of_fold(features)
    assert 850 < judged.learnt < 950 and len(judged.rows) == 1797
    assert np.isin(judged.rows[judged.ranking[:90]], planted).sum() >= 75
    assert audit(features).notes == (
        f"heads learnt from a sample of {judged.learnt} of 1797 labelled images",
    )


def test_a_sample_keeps_thin_classes():
    y = np.repeat([0, 1, 2], [5000, 4000, 30])
    chosen = sample(y, 900, np.random.default_rng(0))
    assert (y[chosen] == 2).sum() == 30 and abs((y[chosen] == 0).sum() - 498) < 5
    assert len(np.unique(chosen)) == len(chosen)


def test_a_class_of_one_image_is_not_judged():
    features, _ = digits(200)
    y = features.y.copy()
    y[y == 9] = -1
    y[7] = 9
    judged = out_of_fold(replace(features, y=y))
    assert judged.left_out.tolist() == [7] and 7 not in judged.rows
    assert (y[judged.rows] >= 0).all() and len(judged.rows) == (y >= 0).sum() - 1


@pytest.mark.parametrize(
    ("y", "thin"),
    [(np.zeros(50, np.int32), []), (np.full(50, -1, np.int32), []), (np.arange(50) // 49, ["0", "1"])],
    ids=["one class", "no label", "one image of the second class"],
)
def test_labels_that_cannot_be_judged_leave_copies_to_be_found(y, thin):
    features, _ = digits(50)
    X, y = features.X.copy(), np.asarray(y, np.int32)
    X[9] = X[3]
    features = replace(features, X=X, y=y)
    assert out_of_fold(features) is None
    found = audit(features)
    assert (found.judged, found.label_errors, found.corrections) == (None, None, ())
    assert "labels could not be judged" in found.notes[0]
    (leak,) = [each for each in found.findings if each.kind in ("duplicate", "leak")]
    assert {leak.digest, *leak.evidence} == {features.digests[row].tobytes().hex() for row in (3, 9)}
    assert [each.label for each in found.findings if each.kind == "thin class"][::-1] == thin
    assert "labels" not in "".join(audit_lines({"features": "a.h5", **found.to_dict(), "written": []})[1:3])


def test_contradicting_labels_that_cannot_be_judged_are_left_as_they_are():
    features, _ = digits(2)
    features = replace(features, X=features.X[[0, 0]], y=np.array([0, 1], np.int32))
    found = audit(features)
    assert [each.kind for each in found.findings][:1] == ["contradiction"] and not found.corrections
    assert "looks like" not in "\n".join(audit_lines({"features": "a.h5", **found.to_dict(), "written": []}))


def test_an_image_unlike_its_class_is_an_outlier():
    features, _ = digits(600)
    X = features.X.copy()
    X[17] = np.random.default_rng(0).permutation(X[17])
    found = outliers(replace(features, X=X), features.rows("train", "test"))
    assert found[0].id == features.ids[17] and found[0].score > 0
    assert features.ids[17] not in [each.id for each in outliers(features, features.rows("train", "test"))]


def test_classes_thin_and_uneven():
    names = ("ant", "bee", "cow", "dog")
    assert [each.label for each in thin_classes([49, 50, 0, 1], names)] == ["ant", "dog"]
    assert imbalance([30, 0, 10, 30], names) == []
    assert imbalance([31, 0, 10, 30], names)[0].label == "cow"
    assert imbalance([0, 0, 0, 0], names) == []


def test_classes_that_look_alike_are_named():
    features, _ = digits()
    y = features.y.copy()
    threes = np.flatnonzero(y == 3)
    y[threes[::2]] = 4
    judged = out_of_fold(replace(features, y=np.where(features.y == 4, 5, y).astype(np.int32)))
    found = confused_classes(judged.y, judged.proba, features.class_names)
    assert [(each.label, each.suggested) for each in found] == [("3", "4")] and found[0].score > 0.3


def test_a_thin_class_that_a_large_one_swallows_is_no_confused_pair():
    y, proba = np.repeat([0, 1, 2], [87, 5, 40]), np.eye(3)[np.repeat([0, 0, 2], [87, 5, 40])]
    assert confused_classes(y, proba, ("cat", "rare", "dog")) == []
    proba[::2] = proba[::2][:, [2, 1, 0]]
    (found,) = confused_classes(y, proba, ("cat", "rare", "dog"))
    assert found.reason == "of 87 images of cat 44 look like dog, of 40 images of dog 20 like cat"
    assert found.score == pytest.approx((44 / 87 + 1 / 2) / 2, abs=1e-6)


@pytest.mark.parametrize("wrong", [0, 18, 90, 360])
def test_wrong_labels_are_counted(wrong):
    features, _ = digits(wrong=wrong)
    found = label_errors(out_of_fold(features))
    assert found.count.low <= wrong <= found.count.high <= max(12, 1.5 * wrong)
    assert found.count.low <= found.count.value <= found.count.high <= found.disagreements + 1 + wrong / 4
    assert found.sentence().startswith(f"about {round(found.count.value)} [")


def test_classes_that_no_head_tells_apart_are_no_wrong_labels():
    """Hard is not wrong: of two classes that look alike half are taken for the other."""
    features, _ = digits()
    y = features.y.copy()
    y[np.flatnonzero(y == 3)[::2]] = 4
    y[np.flatnonzero(features.y == 4)] = 5
    found = label_errors(out_of_fold(replace(features, y=y)))
    assert found.disagreements > 70 and found.count.high < found.disagreements / 2


def test_corrections_are_as_many_as_may_be_wrong():
    features, planted = digits(wrong=90)
    found = audit(features)
    assert len(found.corrections) == int(np.ceil(found.label_errors.count.high))
    assert len(found.corrections) < len([each for each in found.findings if each.kind == "label suspect"])
    right = {features.ids[row]: str(DIGITS.target[row]) for row in planted}
    assert sum(right.get(name) == label for _, name, label in found.corrections) >= 75
    assert len(audit(digits()[0]).corrections) == 10


def test_suspects_are_not_believed_by_the_other_checks():
    features, _ = digits(wrong=90)
    found = audit(features)
    named = {each.id for each in found.findings if each.kind == "outlier"}
    suspects = {features.ids[row] for row in found.judged.rows[disagreements(found.judged)]}
    assert not named & suspects


def test_the_command(two_layers, tmp_path):
    listed, corrections = tmp_path / "found.csv", tmp_path / "corrections.csv"
    words = ("audit", two_layers, "--layer", "noise", "--csv", listed, "--corrections-out", corrections)
    printed = succeed(*words)
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80 or str(tmp_path) in printed
    assert lines[-2:] == [f"wrote {listed}", f"wrote {corrections}"]
    values = json.loads(succeed("audit", two_layers, "--layer", "noise", "--json"))
    with open(listed, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["digest"] for row in rows] == [each["digest"] for each in values["findings"]]
    suspects = [each for each in values["findings"] if each["kind"] == "label suspect"]
    assert suspects and values["rows"] == 60
    assert succeed("audit", two_layers, "--layer", "noise", "--csv", "-") == listed.read_text()
    features = load_features(two_layers)
    _, applied = read_corrections(corrections).apply(features)
    assert applied.counts["relabelled"] and not applied.absent
    assert "wrote" in invoke(*words, "--corrections", corrections).stdout  # over its own files


def test_what_a_user_gets_wrong(two_layers, tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    assert "no list of findings" in fail("audit", two_layers, "--csv", tmp_path / "mine.csv")
    assert "no list of corrections" in fail("audit", two_layers, "--corrections-out", tmp_path / "mine.csv")
    assert "none.h5" in fail("audit", tmp_path / "none.h5")


def test_hostile_names_stay_text():
    from classify.audit.findings import findings_csv
    from classify.commands.audit import audit_lines

    names = ("</script><img onerror=x>", "=cmd()", *"23456789")
    ids = tuple(f"\u202e\x1b[31m{'x' * 300}\n{row}" for row in range(1797))
    features, _ = digits(wrong=90, class_names=names, ids=ids)
    found = audit(features)
    lines = audit_lines({"features": "f.h5", **found.to_dict(), "written": []})
    assert all(line.isprintable() and cell_len(line) <= 80 for line in lines)
    for row in csv.reader(findings_csv(found.findings).splitlines()):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)
