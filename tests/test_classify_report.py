"""One page: what it says, that names on it are text, that it is small, and the same for the same inputs."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from invoking import fail, succeed
from PIL import Image
from reports import HOSTILE, NAMES, ROWS, finding, picture, train, write_hostile
from small import drawn_features

from classify import Bundle, load_features
from classify.audit.audit import audit
from classify.audit.duplicates import find_duplicates
from classify.features.corrections import Correction, Corrections
from classify.features.images import Images
from classify.heads.table import make_head
from classify.report import pictures as pictures_module
from classify.report.forecast import forecast
from classify.report.found import Found, find
from classify.report.galleries import Places, cells
from classify.report.gather import Asked, gather
from classify.report.judged import judge
from classify.report.page import Page
from classify.report.pictures import LARGE, SMALL, take_pictures
from classify.report.projection import SIDE, project
from classify.report.provenance import training_command
from classify.report.render import embedded, render, write_report
from classify.scores.intervals import wilson
from data.output.ours import kind_of_output
from extract.feature_file.reader import FeatureFile


@pytest.fixture(scope="module")
def file(cache, tmp_path_factory):
    return write_hostile(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def bundle(file):
    return train(file)


def asked(file, bundle, **values) -> Asked:
    """Ask for a page without pictures."""
    usual = {"names": (str(bundle),), "bundles": (Bundle.load(bundle),), "features": load_features(file)}
    return Asked(**usual | {"files": (FeatureFile(file),), "without_pictures": "left out"} | values)


@pytest.fixture(scope="module")
def page(file, bundle) -> Page:
    features = load_features(file)
    findings = (
        finding(features, "leak", 4, 0, 1),
        finding(features, "label suspect", 0, 5, 6, 7, suggested=NAMES[0]),
        finding(features, "outlier", 8),
    )
    images = Images.of(features, file.with_name("images"))
    found = Found(findings, find_duplicates(features))
    return gather(asked(file, bundle, found=found, read=images.each, without_pictures=""))


class Seen(HTMLParser):
    """Counts the elements of a page, and keeps attributes and script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open not in ("script", "style"):
            self.text.append(data)


def test_the_verdict_is_that_of_the_test_rows(page, file, bundle):
    report = Bundle.load(bundle).evaluate(load_features(file))
    assert page.verdict.accuracy == report["accuracy"] == page.scores["accuracy"]
    assert "18 images of the test split" in page.verdict.measured
    text = " ".join(Seen(render(page)).text)
    assert report["accuracy"]["value"] < 1, "or the next line says little"
    assert f"{100 * report['accuracy']['value']:.1f}\xa0%" in text


def test_hostile_names_are_text_and_nothing_runs_that_is_not_ours(page):
    seen = Seen(render(page))
    assert seen.tags.count("img") == 0 and seen.tags.count("script") == 2 + len(page.pictures.atlases)
    assert HOSTILE in "".join(seen.text)
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"]
    assert not [value for name, value in seen.attributes if name in ("src", "srcset", "action")]
    links = {value for name, value in seen.attributes if name == "href"}
    assert all(value.startswith("#") or value == "data:," for value in links)


def test_json_in_the_page_has_no_sign_that_ends_it_and_says_the_same(page):
    text = render(page)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert not set(data) & set("<>&\u2028\u2029")
    values = json.loads(data)
    assert values["classes"] == list(NAMES[:2])
    assert set(values["rows"]["id"]) == {shown.id for shown in page.rows.values()}
    assert json.loads(embedded({"a": HOSTILE + "\u2028"})) == {"a": HOSTILE + "\u2028"}


def test_the_policy_allows_the_script_and_the_style_of_the_page_alone(page):
    text = render(page)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_page_has_few_elements_and_a_caption_for_each_table(page):
    seen = Seen(render(page))
    assert len(seen.tags) < 1500
    assert seen.tags.count("table") == seen.tags.count("caption") > 5
    assert seen.tags.count("h1") == 1


def test_a_page_of_many_classes_stays_small(tmp_path):
    features = drawn_features(rows=2000, classes=5, width=6)
    names = tuple(f"class {number}" for number in range(200))
    y = np.arange(2000, dtype=np.int32) // 5 % 200
    features = replace(features, y=y, class_names=names)
    from classify import HEADS

    bundle = Bundle.of(HEADS["centroid"]().fit(*features.training_rows()), features, "centroid")
    page = gather(Asked(("many",), (bundle,), features, ()))
    assert len(Seen(render(page)).tags) < 3000


def test_thumbnails_carry_no_metadata(page):
    assert page.pictures.atlases and len(page.pictures.small) == ROWS
    for atlas in page.pictures.atlases:
        assert b"secret" not in atlas.webp and b"EXIF" not in atlas.webp
        image = Image.open(io.BytesIO(atlas.webp))
        assert image.format == "WEBP" and max(image.size) <= 4096 and not image.getexif()


def test_leaking_rows_are_left_out_of_the_clean_score(page, file, bundle):
    features = load_features(file)
    y, proba = Bundle.load(bundle).predict_split(features, "test")
    right = (proba.argmax(axis=1) == y)[features.rows("test") != 4]
    assert page.leaks.clean["accuracy"] == wilson(int(right.sum()), 17).to_dict()
    assert page.leaks.leaking == 1
    assert page.notices[0].level == "serious" and "1 test image has a copy" in page.notices[0].what


def test_findings_become_cards_beside_their_evidence(page):
    (suspect,) = page.galleries["suspects"].cards
    assert (suspect.row, suspect.suggested, suspect.beside) == (0, NAMES[0], (5, 6, 7))
    assert page.galleries["copies"].cards[0].beside == (0, 1)
    assert {card.row for card in page.galleries["errors"].cards} <= set(load_rows(page, "test"))


def load_rows(page, split):
    return [row for row, shown in page.rows.items() if shown.split == split]


def test_equal_images_are_shown_beside_each_other(file):
    features = load_features(file)
    digests = features.digests.copy()
    digests[3] = digests[7]
    features = replace(features, digests=digests)
    same = digests[3].tobytes().hex()
    found = [replace(finding(features, "contradiction", 7), evidence=(same,))]
    (card,) = Places(features, found).cards(found)
    assert (card.row, card.beside) == (7, (3,))


def test_every_wrong_row_is_in_its_cell(page, file, bundle):
    judged = judge([Bundle.load(bundle)], load_features(file))
    wrong = judged.rows[judged.predicted != judged.y].tolist()
    found = cells(judged, 2)
    assert sorted(row for (label, said), rows in found.items() if label != said for row in rows) == wrong


def test_without_test_rows_it_is_a_cross_validation_and_says_so(file, bundle):
    features = load_features(file)
    features = replace(features, splits=np.where(features.splits == 2, 0, features.splits))
    judged = judge([Bundle.load(bundle)], features)
    assert (judged.how, judged.folds, len(judged.y)) == ("cross-validation", 5, ROWS)


def test_images_that_training_saw_are_not_judged(file, bundle):
    features = load_features(file)
    digests = features.digests.copy()
    digests[4] = digests[0]
    judged = judge([Bundle.load(bundle)], replace(features, digests=digests))
    assert judged.left_out == 1 and 4 not in judged.rows


def test_two_bundles_are_compared_on_the_same_rows(file, bundle):
    other = train(file, "centroid")
    values = asked(file, bundle)
    two = replace(values, names=(*values.names, str(other)), bundles=(*values.bundles, Bundle.load(other)))
    first, second = gather(two).compared
    assert first.mcnemar is None and 0 <= second.mcnemar["p_value"] <= 1
    counts = ("both_right", "only_first", "only_second", "both_wrong")
    assert sum(second.mcnemar[name] for name in counts) == 18


def test_tiles_lie_where_they_say():
    rows = list(range(40))
    found = take_pictures(lambda wanted: ((row, picture(row)) for row in wanted), rows[:5], rows, 10**7)
    assert set(found.large) == set(rows[:5]) and set(found.small) == set(rows)
    for tiles, side in ((found.large, LARGE), (found.small, SMALL)):
        for row, (atlas, x, y, width, height) in tiles.items():
            sheet = np.asarray(Image.open(io.BytesIO(found.atlases[atlas].webp)))
            tile = sheet[y : y + height, x : x + width]
            assert max(width, height) == side and tile.mean(axis=(0, 1)).argmax() == row % 3


def test_pictures_keep_within_their_room():
    rows = list(range(120))
    everything = take_pictures(lambda wanted: ((row, picture(row)) for row in wanted), [], rows, 10**7)
    room = len(everything.atlases[0].webp) // 2
    found = take_pictures(lambda wanted: ((row, picture(row)) for row in wanted), [], rows, room)
    assert sum(len(atlas.webp) for atlas in found.atlases) <= room
    kept = len(found.small)
    assert kept > 30 and set(found.small) == set(rows[:kept]) and found.left_out == 120 - kept


def test_pictures_that_are_gone_or_broken_are_counted():
    def read(rows):
        return ((row, [None, b"no image", picture(row)][row]) for row in rows)

    found = take_pictures(read, [0, 1, 2], [], 10**6)
    assert (set(found.large), found.missing) == ({2}, 2)


def test_an_atlas_is_never_larger_than_its_side(monkeypatch):
    monkeypatch.setattr(pictures_module, "SIDE", 200)
    found = take_pictures(lambda rows: ((row, picture(row)) for row in rows), [], range(20), 10**7)
    assert len(found.atlases) == 5 and all(max(a.width, a.height) <= 200 for a in found.atlases)
    assert found.small[9][:3] == (2, SMALL, 0)


def test_the_map_is_the_same_each_time_and_parts_what_is_apart():
    generator = np.random.default_rng(0)
    X = generator.normal(0, 0.1, (60, 12)).astype(np.float32)
    X[:30, 0] += 1
    X[30:, 1] += 1
    one, two = (project(X, np.array([], int)) for _ in range(2))
    assert np.array_equal(one.x, two.x) and np.array_equal(one.y, two.y)
    assert one.x.dtype.kind == "i" and min(one.x) >= 0 and max(one.y) <= SIDE
    places = np.stack([one.x, one.y], 1)
    centres = np.array([places[:30].mean(0), places[30:].mean(0)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(1)
    assert np.array_equal(nearest, np.arange(60) // 30)


def test_a_map_of_very_many_rows_is_drawn_of_some_the_wanted_among_them(monkeypatch):
    monkeypatch.setattr("classify.report.projection.MOST", 20)
    monkeypatch.setattr("classify.report.projection._MOST_DRAWN", 30)
    X = np.random.default_rng(0).normal(size=(90, 4))
    found = project(X, np.array([3, 88]))
    assert len(found.rows) == 30 and {3, 88} <= set(found.rows) and found.method == "PCA"


@pytest.mark.parametrize(("floor", "slope"), [(0.0, 0.4), (0.02, 0.6), (0.05, 0.5)])
def test_a_forecast_holds_the_truth_in_its_interval(floor, slope):
    rows = np.array([100, 200, 400, 800, 1600])

    def error(n):
        return 1.2 * n**-slope + floor

    generator = np.random.default_rng(1)
    luck = generator.random(1500)
    found = forecast(rows, (luck[None] > error(rows)[:, None]).astype(float))
    goal = error(1600) - 0.01
    truth = ((1.2 / (goal - floor)) ** (1 / slope) if goal > floor else np.inf) - 1600
    assert (found.low or 16000) <= truth and (found.high is None or truth <= found.high), found.said


def test_where_no_point_is_left_a_forecast_says_so():
    right = np.ones((4, 300))
    right[0, :20] = 0
    assert "no point is left" in forecast(np.array([10, 20, 40, 80]), right).said


def test_the_command_writes_a_page_that_it_knows_again(file, bundle, tmp_path):
    path = tmp_path / "page.html"
    words = ("report", bundle, file, "-o", path, "--source", file.with_name("images"))
    values = json.loads(succeed(*words, "--json"))
    assert values["bytes"] == path.stat().st_size < 15_000_000 and values["pictures"] > 50
    assert kind_of_output(path) == "report"
    first = path.read_bytes()
    assert succeed(*words).endswith(f"{values['pictures']} pictures\n")
    assert path.read_bytes() == first


def test_private_images_stay_where_they_are(file, bundle, tmp_path):
    path = tmp_path / "page.html"
    succeed("report", bundle, file, "-o", path, "--no-images")
    assert b"image/webp;base64" not in path.read_bytes() and b'id="atlas-0"' not in path.read_bytes()
    assert "Pictures were left out by --no-images" in path.read_text()


def test_what_is_no_report_is_not_replaced(file, bundle, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!doctype html>\n<p>mine")
    assert "no report that Headstart wrote" in fail("report", bundle, file, "-o", path, "--no-images")
    assert path.read_text() == "<!doctype html>\n<p>mine"


@pytest.mark.parametrize("words", [["{file}"], ["{bundle}"], ["{file}", "{bundle}"]])
def test_bundles_stand_before_files(words, file, bundle):
    from invoking import invoke

    done = invoke("report", *[word.format(file=file, bundle=bundle) for word in words])
    assert done.exit_code == 2 and "name one or more bundles, then feature files" in done.output


def test_a_page_that_is_too_large_is_refused(page, tmp_path, monkeypatch):
    monkeypatch.setattr("classify.report.render._REFUSED", 1000)
    refused(lambda: write_report(tmp_path / "page.html", page), "too large", "--large")
    assert write_report(tmp_path / "page.html", page, large=True) > 1000


def test_what_corrections_leave_out_is_neither_suggested_nor_a_copy(file):
    features = load_features(file)
    twin = replace(features, X=np.array(features.X), digests=features.digests.copy())
    rows = features.rows("train")[:2]
    twin.X[rows[1]], twin.digests[rows[1]] = twin.X[rows[0]], twin.digests[rows[0]]
    kinds = ("duplicate", "contradiction")
    assert any(each.kind in kinds for each in audit(twin).findings)
    entry = Correction(twin.digests[rows[0]].tobytes().hex(), "", "", 2)
    corrections = Corrections(Path("c.csv"), {bytes.fromhex(entry.digest): entry})
    corrected, applied = corrections.apply(twin)
    assert len(applied.rows["left_out"]) == 2 == len(corrected.left_out)
    assert not any(each.kind in kinds for each in audit(corrected).findings)
    found = find(Bundle.load(train(file)), corrected, None)
    assert entry.digest not in {each.digest for each in found.suggested}


def test_heads_with_hidden_layers_are_told_with_the_command_that_trains_them(file, bundle):
    loaded = Bundle.load(bundle)
    head = make_head("mlp", hidden=[64])
    made = replace(loaded, name="mlp", head=head)
    assert training_command("m", made, ["a.h5"]) == (
        "python -m classify train a.h5 --head mlp --param 'hidden=(64,)' -o m"
    )
    usual = replace(loaded, name="mlp", head=make_head("mlp", hidden=[256]))
    assert training_command("m", usual, ["a.h5"], "--calibrate") == (
        "python -m classify train a.h5 --head mlp --calibrate -o m"
    )
