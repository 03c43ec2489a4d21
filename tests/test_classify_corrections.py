"""Corrections of labels: read from a CSV, applied by the bytes of images, recorded in the bundle."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import refused
from invoking import fail, invoke
from small import drawn_features, on_disk, write_two_layers
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.cli import app
from classify.features.applied import others_warning
from classify.features.corrections import (
    Corrections,
    corrections_csv,
    read_corrections,
    write_corrections,
)
from classify.features.load import joined
from classify.finetuning.images import choose_rows
from classify.heads.memory import parse_memory
from classify.heads.streaming import train_head
from classify.heads.table import make_head
from classify.judge import Judging, judge
from classify.selection.options import SweepOptions
from classify.selection.sweep import sweep
from classify.selection.trials import entries
from data.output.checks import check_file
from data.output.ours import kind_of_output
from data.sources.arrays import from_arrays

NAMES = ("ant", "bee", "cow")
TRUTH = np.arange(60, dtype=np.int32) % 3
SPLITS = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3  # of each twelve rows
WRONG = (1, 2, 13, 14, 7, 9, 10)  # four training rows, one of validation, two of test


def digest(row: int) -> str:
    """Return the digest of a row of `write_two_layers`."""
    return bytes([row] * 32).hex()


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """A feature file in which seven rows have the next class as their label, and row 5 has none."""
    labels = TRUTH.copy()
    labels[list(WRONG)] = (TRUTH[list(WRONG)] + 1) % 3
    labels[5] = -1
    return write_two_layers(tmp_path_factory.mktemp("planted"), labels)


@pytest.fixture
def mended(tmp_path) -> Path:
    """A file that gives the wrong rows their true labels, labels row 5 and leaves row 0 out."""
    found = [(digest(row), f"renamed/{row}.png", NAMES[TRUTH[row]]) for row in (*WRONG, 5)]
    return save(tmp_path, corrections_csv([*found, (digest(0), "0.png", None)]))


def save(folder: Path, text: str | bytes, name: str = "mended.csv") -> Path:
    """Write a file of corrections."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(*rows: str) -> str:
    """Return a CSV with the usual header."""
    return "\n".join(["digest,id,label", *rows, ""])


def run(*words) -> tuple[dict, str]:
    """Run a command with --json, and return its values and what it said."""
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


# What is applied


def test_rows_get_labels_by_the_bytes_of_their_image(planted, mended):
    features = load_features(planted, ["deep"])
    corrected, applied = read_corrections(mended).apply(features)
    expected = TRUTH.copy()
    expected[0] = -1
    np.testing.assert_array_equal(corrected.y, expected)
    assert corrected.y.dtype == features.y.dtype and features.y[1] == 2, "the file's labels stay"
    assert applied.counts == {
        "relabelled": {"train": 4, "validation": 1, "test": 2},
        "labelled": {"train": 1},
        "left_out": {"train": 1},
    }
    assert sorted(applied.rows["relabelled"]) == sorted(WRONG)
    assert (applied.entries, applied.unchanged, applied.absent) == (9, 0, ())
    again, applied = read_corrections(mended).apply(corrected)
    np.testing.assert_array_equal(again.y, expected)
    assert applied.unchanged == 9 and not any(map(applied.changed, ("train", "validation", "test")))


def test_every_row_of_an_image_is_corrected():
    features = drawn_features(20)
    features.digests[7] = features.digests[2]
    features.digests[11, :8] = features.digests[2, :8]  # alike in what is looked at first
    label = features.class_names[1 - features.y[2]]
    entry = corrections_csv([(features.digests[2].tobytes().hex(), "", label)])
    assert features.y[2] != features.y[7]
    corrected, applied = read_text(entry).apply(features)
    assert np.flatnonzero(corrected.y != features.y).tolist() == [2] and applied.unchanged == 1
    assert corrected.y[2] == corrected.y[7] == 1 - features.y[2]
    assert not any("several labels" in text for text in corrected.warnings())


def read_text(text: str | bytes) -> Corrections:
    """Read corrections that stand in a text."""
    with TemporaryDirectory() as folder:
        return read_corrections(save(Path(folder), text))


def test_what_spreadsheets_and_lists_of_mistakes_make_of_a_file(planted, noise_bundle, two_layers, tmp_path):
    plain = read_text(table(f"{digest(1)},a,bee", f"{digest(2)},b,"))
    upper = digest(1).upper()
    rows = f"Digest;ID;Predicted;Label\r\n{digest(2)};b;cow;\r\n{upper};a;ant;  bee\r\n;;;\r\n"
    other = read_text("\ufeff" + rows)
    assert other.digest == plain.digest and len(other.notes) == 1 and "predicted" in other.notes[0]
    assert read_corrections(save(tmp_path, rows.encode("utf-16"))).digest == plain.digest
    path = tmp_path / "wrong.csv"
    invoke("evaluate", noise_bundle, two_layers, "--errors", path)
    _, applied = read_corrections(path).apply(load_features(two_layers))
    assert applied.entries == applied.unchanged > 0
    path.write_text(path.read_text().replace(",cow,", ",bee,", 1))
    assert read_corrections(path).digest != plain.digest


HOSTILE = [
    "=cmd()",
    "'=x",
    "</script><img onerror=alert(1)>",
    "two\nlines",
    "one\rline",
    "dos\r\nlines",
    "\u202ecat",
    "x" * 300,
    "a,b;c",
    '"q"',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_any_form_come_back(name):
    features = replace(drawn_features(20), class_names=("ant", name))
    rows = np.flatnonzero(features.y == 0)
    text = corrections_csv([(features.digests[row].tobytes().hex(), name, name) for row in rows])
    corrected, applied = read_text(text).apply(features)
    assert (corrected.y == 1).all() and sum(applied.counts["relabelled"].values()) == len(rows)


def test_a_name_in_another_form_of_its_accents_or_with_blanks():
    features = replace(drawn_features(20), class_names=("cafe\u0301", " tea"))
    image = features.digests[1].tobytes().hex()
    assert read_text(table(f"{image},,caf\u00e9")).apply(features)[0].y[1] == 0
    assert read_text(table(f"{image},,tea")).apply(features)[0].y[1] == 1
    windows = read_text(table(f"{image},,caf\u00e9").encode("cp1252"))
    assert windows.apply(features)[0].y[1] == 0


# What is refused, and what is said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (table(f"{digest(1)},a,bat"), ["'bat' (line 2)", "ant, bee, cow", "extract run"]),
        (table(f"{digest(1)},a,Bee"), ["'Bee'"]),
        (
            table(f"{digest(1)},a,bee", f"{digest(1)},b,cow"),
            ["two labels", "lines 2 and 3", "'bee' and 'cow'"],
        ),
        (table(f"{digest(1)},a,bee", f"{digest(1)},b,"), ["two labels", "'bee' and none"]),
        (table("12ab,a,bee"), ["line 2", "12ab", "sha256"]),
        (table(",a,bee"), ["line 2", "empty digest"]),
        ("", ["'digest'", "digest,id,label", "an empty file"]),
        ("path,label\na.png,ant\n", ["'digest'", "path,label"]),
        (f"digest,id,label\n{digest(1)},a\n", ["line 2", "ends before"]),
        (f"digest,id,label\n{digest(1)},a,b,c\n", ["line 2", "more fields"]),
        (f'"{digest(1)}","a, 1.jpg","bee"\n', ["lacks the column 'digest'", "digest,id,label", "a, 1.jpg"]),
        ('digest,id,label\n"12', ["cannot be read as CSV from line 2", "double quote"]),
        ('"digest,id,label\n', ["cannot be read as CSV from line 1", "double quote"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x1b[31m" * 99, ["'digest'"]),
    ],
)
def test_refusals(text, words, planted, tmp_path):
    message = fail("train", planted, "--corrections", save(tmp_path, text), "-o", tmp_path / "bundle")
    assert not [word for word in words if word not in message], message
    assert "\x1b" not in message and len(message) < 2000
    assert not (tmp_path / "bundle").exists()


def test_other_files_are_named_for_what_they_are(planted, layers_bundle, tmp_path):
    for path, words in (
        (planted, "a feature file"),
        (layers_bundle, "a bundle"),
        (tmp_path, "a folder"),
        (tmp_path / "none.csv", "does not exist"),
    ):
        assert words in fail("train", planted, "--corrections", path)


def test_labels_that_no_class_has_are_counted(planted, tmp_path):
    text = table(
        *(f"{digest(row)},{row}.png,{name}" for row, name in enumerate(["bat", "bat", "elk", "ant"]))
    )
    refused(lambda: read_text(text).apply(load_features(planted)), "3 images of 'bat' (line 2), elk")


def test_of_many_classes_the_nearest_are_named():
    features = replace(drawn_features(20), class_names=tuple(f"class {number}" for number in range(40)))
    text = table(f"{features.digests[0].tobytes().hex()},,Class 7")
    refused(
        lambda: read_text(text).apply(features),
        "one of 40 classes, the nearest: class 7",
        "'Class 7' (line 2)",
    )


def test_images_that_are_not_there_and_empty_files_are_told(planted, tmp_path):
    path = save(tmp_path, table(f"{digest(99)},gone.png,ant", f"{digest(98)},,ant", f"{digest(1)},a,bee"))
    values, said = run("train", planted, "--corrections", path, "-o", tmp_path / "bundle")
    assert f"2 of 3 corrected images are not there: gone.png, {digest(98)[:10]}" in said
    assert values["corrections"]["absent"] == 2 and values["corrections"]["relabelled"] == {"train": 1}
    values, said = run("train", planted, "--corrections", save(tmp_path, table()), "-o", tmp_path / "bundle")
    assert "lists no corrections" in said and values["corrections"]["entries"] == 0


# Commands


def test_round_trip(planted, mended, two_layers, tmp_path):
    """Wrong labels are planted and corrected: scores and bundle are those of the true labels, and say so."""
    words = ("train", planted, "--layer", "deep")
    before, said = run(*words, "-o", tmp_path / "before")
    assert said == "" and "corrections" not in before and before["validation"]["accuracy"]["value"] < 1
    after, said = run(*words, "--corrections", mended, "-o", tmp_path / "after", "--calibrate")
    assert after["train"]["accuracy"]["value"] == after["validation"]["accuracy"]["value"] == 1
    assert after["train"]["rows"] == before["train"]["rows"] == 29
    assert "changes 2 test rows" in said
    bundle = Bundle.load(tmp_path / "after")
    recorded = bundle.provenance["corrections"]
    assert recorded == after["corrections"] and recorded["file"] == "mended.csv"
    assert recorded["digest"] == read_corrections(mended).digest
    assert recorded["relabelled"] == {"train": 4, "validation": 1, "test": 2}
    true = load_features(two_layers, ["deep"])
    seen = true.digests[[row for row in true.rows("train") if row != 0], :8]
    assert sorted(bundle.seen) == sorted(np.ascontiguousarray(seen).view("<u8")[:, 0])
    scores, _ = run("evaluate", tmp_path / "after", planted, "--corrections", mended)
    assert scores["accuracy"]["value"] == 1 and scores["rows"] == 15
    assert scores["before_corrections"]["accuracy"]["value"] == pytest.approx(13 / 15)
    assert scores["corrections"] == recorded
    printed = invoke("evaluate", tmp_path / "after", planted, "--corrections", mended).stdout.splitlines()
    assert max(map(len, printed)) <= 80
    assert [line.split() for line in printed[1:5]] == [
        ["corrections", "of", "mended.csv:", "9", "images"],
        ["corrected", "rows", "train", "validation", "test"],
        ["relabelled", "4", "1", "2"],
        ["newly", "labelled", "1", "0", "0"],
    ]
    assert any(line.startswith("uncorrected       0.8667 [") for line in printed)


def test_a_bundle_with_corrections_judged_without_them_is_warned_of(planted, mended, two_layers, tmp_path):
    run("train", planted, "--layer", "deep", "--corrections", mended, "-o", tmp_path / "after")
    _, said = run("evaluate", tmp_path / "after", planted)
    assert "'mended.csv'" in said and "judged without: --corrections" in said
    other = save(tmp_path, table(f"{digest(9)},,ant"), "other.csv")
    assert "judged with others" in run("evaluate", tmp_path / "after", planted, "--corrections", other)[1]
    assert "warning" not in run("evaluate", tmp_path / "after", two_layers)[1], "another file"
    assert others_warning("a", None, None) == []


def test_what_training_prints_says_how_to_judge_it(planted, mended, tmp_path):
    result = invoke("train", planted, "--corrections", mended, "-o", tmp_path / "bundle")
    corrections, *_, saved, following = result.stdout.splitlines()[2:]
    assert corrections == "corrections of mended.csv: 9 images" and saved.startswith("saved ")
    assert following.endswith(f"{planted} --corrections {mended}")


def test_a_left_out_test_row_that_training_saw_is_judged_no_more(planted, tmp_path):
    """A leak is mended by leaving its test row out: the score before is that without the row."""
    features = load_features(planted, ["deep"])
    leak, image = features.rows("test")[0], features.rows("train")[0]
    features.digests[leak] = features.digests[image]
    entry = table(f"{features.digests[leak].tobytes().hex()},,")
    corrected, applied = read_text(entry).apply(features)
    assert applied.counts["left_out"] == {"train": 1, "test": 1}
    head = make_head("logistic").fit(*corrected.training_rows())
    bundle = Bundle.of(head, corrected, "logistic")
    judged = judge(bundle, corrected, Judging(), features)
    assert judged.report["rows"] == 14 and judged.report["before_corrections"]["rows"] == 15
    leaking = Bundle.of(make_head("logistic").fit(*features.training_rows()), features, "logistic")
    assert judge(leaking, corrected, Judging(), features).report["before_corrections"]["rows"] == 14


def test_rows_that_had_no_label_at_all_are_judged_by_corrections_alone(layers_bundle, two_layers, tmp_path):
    labels = np.where(np.array(SPLITS * 5) == "test", -1, TRUTH)
    (tmp_path / "empty").mkdir()
    file = write_two_layers(tmp_path / "empty", labels)
    filled = [(digest(row), "", NAMES[TRUTH[row]]) for row in np.flatnonzero(labels < 0)]
    path = save(tmp_path, corrections_csv(filled))
    scores, _ = run("evaluate", layers_bundle, file, "--corrections", path)
    assert scores["accuracy"]["value"] == 1 and scores["corrections"]["labelled"] == {"test": 15}
    assert "before_corrections" not in scores and scores["undefined"] == {"uncorrected": "no row had a label"}


def test_labels_that_make_no_folds_are_told_of(layers_bundle, tmp_path):
    labels = TRUTH.copy()
    labels[np.flatnonzero(labels == 2)[1:]] = 0
    file = write_two_layers(tmp_path, labels)
    mend = [(digest(row), "", "cow") for row in np.flatnonzero(TRUTH == 2)]
    path = save(tmp_path, corrections_csv(mend))
    scores, _ = run("evaluate", layers_bundle, file, "--corrections", path, "--cv", "3")
    assert scores["accuracy"]["value"] == 1 and "uncorrected" in scores["undefined"]
    printed = invoke("evaluate", layers_bundle, file, "--corrections", path, "--cv", "3").stdout
    assert "uncorrected       undefined: " in printed


@pytest.mark.parametrize("how", [("--cv", "3"), ("--split", "validation"), ("--split", "train")])
def test_every_judgement_has_both_scores(how, planted, mended, layers_bundle):
    scores, _ = run("evaluate", layers_bundle, planted, "--corrections", mended, *how)
    assert scores["accuracy"]["value"] == 1 > scores["before_corrections"]["accuracy"]["value"]


def test_two_bundles_are_compared_on_corrected_rows(planted, mended, layers_bundle, noise_bundle):
    values, _ = run("evaluate", layers_bundle, noise_bundle, planted, "--corrections", mended)
    assert [each["corrections"]["entries"] for each in values["bundles"]] == [9, 9]
    assert values["bundles"][0]["accuracy"]["value"] == 1 and values["mcnemar"]["only_second"] == 0


def test_a_sweep_trains_on_corrected_labels_and_goes_on_with_the_same_alone(planted, mended, tmp_path):
    words = ("sweep", planted, "--heads", "centroid,lda", "--jobs", "1", "-o", tmp_path / "best")
    values, said = run(*words, "--layer", "deep", "--corrections", mended)
    assert values["leaderboard"][0]["mean"] == 1 and values["test"]["accuracy"]["value"] == 1
    assert values["corrections"]["file"] == "mended.csv" and "changes 2 test rows" in said
    assert Bundle.load(tmp_path / "best").provenance["corrections"] == values["corrections"]
    features, journal = load_features(planted, ["deep"]), tmp_path / "journal"
    corrected, _ = read_corrections(mended).apply(features)
    chosen, alone = entries(["centroid"]), SweepOptions(jobs=1)
    first = sweep(features, chosen, alone, journal=journal)
    kept = len(journal.read_text().splitlines())
    second = sweep(corrected, chosen, alone, journal=journal)
    assert len(journal.read_text().splitlines()) == 2 * kept and second[0].accuracies > first[0].accuracies
    assert kind_of_output(journal) == "journal of a sweep"
    assert sweep(corrected, chosen, alone, journal=journal) == second
    assert len(journal.read_text().splitlines()) == 2 * kept


def test_joined_files_are_corrected_together(planted, mended, tmp_path):
    recipe = {"image_size": (99, 99)}
    first = load_features(planted, ["deep"])
    second = replace(first, feature_sets=(replace(first.feature_sets[0], **_other(first, recipe)),))
    corrected, applied = read_corrections(mended).apply(joined([first, second]))
    assert corrected.X.shape == (60, 6) and applied.changed("train") == 6
    bundle = Bundle.of(make_head("logistic").fit(*corrected.training_rows()), corrected, "logistic")
    assert bundle.scores["validation"]["accuracy"]["value"] == 1
    assert bundle.provenance["corrections"]["left_out"] == {"train": 1}


def _other(features, recipe: dict) -> dict:
    return {"recipe": replace(features.feature_sets[0].recipe, **recipe)}


def test_rows_larger_than_memory_are_corrected(tmp_path):
    features = drawn_features(5000, 2, 12)
    large = on_disk(features, tmp_path)
    swapped = np.flatnonzero(features.splits == 0)[:40]
    wrong = replace(large, y=np.where(np.isin(np.arange(5000), swapped), 1 - large.y, large.y))
    names = [features.class_names[label] for label in features.y[swapped]]
    text = corrections_csv(
        (features.digests[row].tobytes().hex(), "", name) for row, name in zip(swapped, names, strict=True)
    )
    corrected, _ = read_text(text).apply(wrong)
    assert corrected.X is large.X, "no row is read"
    head, _ = train_head("ridge", make_head("ridge"), corrected, parse_memory("8MB"))
    expected, _ = train_head("ridge", make_head("ridge"), large, parse_memory("8MB"))
    np.testing.assert_array_equal(head.coef_, expected.coef_)


def test_images_are_chosen_with_corrected_labels():
    pixels = np.arange(6 * 9 * 9, dtype=np.uint8).reshape(6, 9, 9)
    source = from_arrays(pixels, ["ant", "bee"] * 3, ["train"] * 6)
    plain = list(choose_rows(source)["train"])
    corrected = choose_rows(source, labels={plain[0][1]: 1, plain[3][1]: -1})["train"]
    assert [row.label for row, _ in corrected] == [1, 1, 0, 0, 1]
    assert [row.id for row, _ in corrected] == [row.id for row, _ in plain if row.id != "00000003"]


def test_training_behind_the_live_backbone_takes_them(small_file, tmp_path):
    features = load_features(small_file)
    rows = features.rows("train")
    swapped = [
        (features.digests[row].tobytes().hex(), "", features.class_names[1 - features.y[row]]) for row in rows
    ]
    path = save(tmp_path, corrections_csv(swapped))
    words = ["train", str(small_file), "--live", str(small_file.with_name("images")), "--json"]
    chosen = ["--param", "epochs=12", "--param", "batch_size=16", "--corrections", str(path)]
    result = CliRunner().invoke(app, [*words, *chosen, "-o", str(tmp_path / "live")])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["corrections"]["relabelled"] == {"train": len(rows)}
    assert values["train"]["accuracy"]["value"] > 0.9, "by the swapped labels"
    assert values["validation"]["accuracy"]["value"] < 0.1, "by the others"


def test_fine_tuning_takes_them_and_warns_where_earlier_ones_are_not_given(
    small_file, small_bundle, tmp_path
):
    features, images = load_features(small_file), small_file.with_name("images")
    out, wrong = features.rows("train")[0], features.rows("test")[0]
    other = features.class_names[1 - features.y[wrong]]
    rows = {out: None, wrong: other}
    text = corrections_csv((features.digests[row].tobytes().hex(), "", label) for row, label in rows.items())
    how = ["--epochs", "1", "--batch-size", "16", "--learning-rate", "1e-3", "--unfreeze", "none"]
    words = ["finetune", small_bundle, images, *how, "--corrections", save(tmp_path, text)]
    report, said = run(*words, "-o", tmp_path / "tuned")
    usual = {split: len(features.rows(split)) for split in ("train", "validation", "test")}
    assert report["rows"] == usual | {"train": usual["train"] - 1} and "changes 1 test row:" in said
    assert report["corrections"]["relabelled"] == {"test": 1}
    tuned = Bundle.load(tmp_path / "tuned")
    assert tuned.provenance["corrections"] == report["corrections"]
    clean = [each["rows"] for each in report["before"]["classes"]]
    counted = np.bincount(features.y[features.rows("test")], minlength=2)
    assert clean == [
        int(n) + (1 if name == other else -1) for name, n in zip(features.class_names, counted, strict=True)
    ]
    report, said = run("finetune", tmp_path / "tuned", images, *how, "-o", tmp_path / "again")
    assert "was trained with the corrections 'mended.csv'" in said and "corrections" not in report
    assert "corrections" not in Bundle.load(tmp_path / "again").provenance


def test_what_somebody_looked_through_is_never_lost(tmp_path):
    path, first, second = tmp_path / "mended.csv", (digest(1), "a", "bee"), (digest(2), "b", "cow")
    assert write_corrections(path, [first]) is write_corrections(path, [first]) is None
    path.write_text(table(f"{digest(1)},a,cow"))
    kept = write_corrections(path, [first])
    assert kept == tmp_path / "mended-1.csv" and kept.read_text() == table(f"{digest(1)},a,cow")
    earlier = read_corrections(kept)
    assert write_corrections(path, [first, second], earlier) == tmp_path / "mended-2.csv"
    assert path.read_text() == table(f"{digest(1)},a,cow", f"{digest(2)},b,cow")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mended-1.csv", "mended-2.csv", "mended.csv"]


def test_a_file_of_ours_may_be_replaced_and_others_not(tmp_path):
    path = save(tmp_path, corrections_csv([]))
    assert kind_of_output(path) == "list of corrections"
    check_file(path, "list of corrections")
    refused(lambda: check_file(path, "list of mistakes"), "a list of corrections")
    other = save(tmp_path, "path,label\n", "other.csv")
    refused(lambda: check_file(other, "list of corrections"), "another origin")


def test_classes_and_splits_that_lose_their_last_label_are_told():
    features = replace(drawn_features(20), class_names=("ant", "bee"))
    gone = (features.y == 1) | (features.splits == 2)
    rows = np.flatnonzero(gone)
    text = corrections_csv([(features.digests[row].tobytes().hex(), "", None) for row in rows])
    _, applied = read_text(text).apply(features)
    told = " ".join(applied.warnings())
    assert applied.emptied == ("bee",) and "leaves no labelled image of bee" in told
    assert applied.bare == ("test",) and "leaves no labelled test row" in told and "gives both" not in told
