"""The report in a browser, from disk: nothing is loaded, nothing fails, and the keyboard does it all."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from invoking import succeed
from reports import HOSTILE, NAMES, finding, train, write_hostile

from classify import Bundle, load_features
from classify.features.images import Images
from classify.report.found import Found
from classify.report.gather import Asked, gather
from classify.report.render import write_report
from extract.feature_file.reader import FeatureFile

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium, or CHROMIUM=PATH")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def place(cache, tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("browser")


def write_page(folder: Path, classes: int) -> Path:
    """Write a report whose names are hostile, with every kind of gallery."""
    folder.mkdir()
    file = write_hostile(folder, classes)
    features, bundle = load_features(file), train(file)
    findings = (
        finding(features, "leak", 4, 0, 1),
        finding(features, "duplicate", 10, 12),
        finding(features, "label suspect", 0, 5, 6, 7, suggested=NAMES[0]),
        finding(features, "label suspect", 3, 5, 6, 7, suggested=NAMES[1]),
        finding(features, "outlier", 8),
    )
    read = Images.of(features, folder / "images").each
    files = (FeatureFile(file),)
    asked = Asked((str(bundle),), (Bundle.load(bundle),), features, files, Found(findings), read)
    write_report(folder / "page.html", gather(asked))
    return folder / "page.html"


@pytest.fixture(scope="module")
def written(place) -> Path:
    return write_page(place / "two", 2)


@pytest.fixture(scope="module")
def written_of_three(place) -> Path:
    return write_page(place / "three", 3)


@pytest.fixture
def page(browser, written):
    """The page of two classes, and in `wrong` what it should not do."""
    yield from opened(browser, written)


@pytest.fixture
def page_of_three(browser, written_of_three):
    yield from opened(browser, written_of_three)


def opened(browser, path: Path):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    tab, wrong = context.new_page(), []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append("a dialog"))
    tab.on("request", lambda request: wrong.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector("nav a")
    yield tab
    inside = ("blob:", "data:", path.as_uri())
    assert [each for each in wrong if not each.startswith(inside)] == []
    context.close()


def show(tab, selector: str) -> None:
    tab.locator(selector).first.scroll_into_view_if_needed()


def download(tab, folder: Path) -> list[dict]:
    """Click the button, and read what it gave."""
    with tab.expect_download() as got:
        tab.locator("#download").click()
    got.value.save_as(folder / got.value.suggested_filename)
    with open(folder / "corrections.csv", newline="", encoding="utf-8") as opened_file:
        return list(csv.DictReader(opened_file))


def test_few_elements_at_load_and_no_gallery_before_it_is_scrolled_to(page):
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
    assert page.locator("#unfamiliar .card").count() == 0
    show(page, "#unfamiliar")
    page.wait_for_selector("#unfamiliar .card")


def test_pictures_are_decoded_and_described(page):
    show(page, "#suspects")
    image = page.locator("#suspects .frame img").first
    image.wait_for()
    assert image.evaluate("each => each.decode().then(() => each.naturalWidth)") >= 160
    assert "001.jpg" not in image.get_attribute("alt") and "labelled" in image.get_attribute("alt")


def test_hostile_names_show_as_text(page):
    assert page.locator("#classes tbody th").filter(has_text="</script><img").count() == 1
    show(page, "#suspects")
    page.wait_for_selector("#suspects .card")
    assert HOSTILE in page.locator("#suspects .card").first.inner_text()
    assert page.locator("img[src='x'], img[onerror]").count() == 0
    assert HOSTILE in page.locator("#rejected").inner_text()


def test_a_cell_of_the_matrix_opens_and_closes_its_images_by_keyboard(page):
    button = page.locator("[data-cell]").first
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell .card")
    assert button.get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.activeElement.tagName") == "H3"
    button.press("Enter")
    assert page.locator("#cell").is_hidden()


def test_the_map_shows_images_to_pointer_and_keys(page):
    show(page, "#canvas")
    page.wait_for_selector("#legend button")
    drawn = "() => { const all = document.getElementById('canvas').getContext('2d');"
    drawn += " return all.getImageData(0, 0, all.canvas.width, all.canvas.height).data.some(Boolean) }"
    page.wait_for_function(drawn)
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").is_visible() and page.locator("#tip img").count() == 1
    first = page.locator("#told").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert page.locator("#told").inner_text() != first
    page.keyboard.press("Enter")
    assert page.locator("#pinned .card").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.locator("input[value=error]").check()
    words = page.locator("#legend button").all_inner_texts()
    assert {"right", "not judged"} <= {word.strip() for word in words}


def test_the_slider_says_coverage_and_accuracy(page):
    slider, answer = page.locator("#slider"), page.locator("#answer")
    show(page, "#slider")
    before = answer.inner_text()
    assert before.startswith("100\xa0% of images are answered")
    slider.focus()
    for _ in range(70):
        page.keyboard.press("ArrowRight")
    assert answer.inner_text() != before and "left to a person" in answer.inner_text()
    assert float(page.locator("#level").inner_text()) > 0.8


def test_ticked_images_are_downloaded_as_corrections(page, written, tmp_path):
    assert page.locator("#tray").is_hidden()
    show(page, "#suspects")
    cards = page.locator("#suspects .card")
    cards.first.wait_for()
    cards.nth(0).locator("button").first.press("Enter")
    cards.nth(1).get_by_role("button", name="Leave out").click()
    assert page.locator("#ticked").inner_text() == "1 label changed, 1 image left out"
    first, second = download(page, tmp_path)
    features = load_features(written.with_name("hostile.h5"))
    digests = [features.digests[row].tobytes().hex() for row in (0, 3)]
    assert [first["digest"], second["digest"]] == digests
    assert (first["label"], second["label"]) == (NAMES[0], "")
    page.reload()
    assert page.locator("#ticked").inner_text() == "1 label changed, 1 image left out", (
        "they outlive a reload"
    )
    page.locator("#clear").click()
    assert page.locator("#tray").is_hidden()


def test_any_class_can_be_chosen_and_no_cell_of_the_csv_runs(page_of_three, tmp_path):
    page = page_of_three
    show(page, "#suspects")
    choice = page.locator("#suspects .card select").first
    choice.wait_for()
    choice.focus()
    choice.select_option(NAMES[2])
    show(page, "#unfamiliar")
    page.locator("#unfamiliar .card select").first.focus()
    page.locator("#unfamiliar .card select").first.select_option(NAMES[1])
    labels = {row["label"] for row in download(page, tmp_path)}
    assert labels == {NAMES[2], "'" + NAMES[1]}


_FOCUS = """() => {
    const each = document.activeElement, style = getComputedStyle(each);
    return [each.tagName, each.id, style.outlineStyle + " " + style.outlineWidth];
}"""


def test_everything_is_reached_by_tab_and_its_focus_is_seen(page):
    show(page, "#canvas")
    page.wait_for_selector("#legend button")
    page.locator(".skip").focus()
    seen = [page.evaluate(_FOCUS)]
    while seen[-1][0] != "BODY" and len(seen) < 400:
        page.keyboard.press("Tab")
        seen.append(page.evaluate(_FOCUS))
    assert {outline for _, _, outline in seen[:-1]} == {"solid 3px"}
    assert {"canvas", "slider"} <= {name for _, name, _ in seen}
    buttons = page.locator("button:visible").count()
    assert sum(tag == "BUTTON" for tag, _, _ in seen) == buttons


def suspects(path: Path) -> list[str]:
    """Return the ids of the label suspects that a page shows."""
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text())
    values = json.loads(data)
    return [values["rows"]["id"][row] for row, *_ in values["galleries"]["suspects"]]


def test_a_wrong_label_is_found_ticked_trained_with_and_gone(browser, tmp_path):
    file = write_hostile(tmp_path, shift=4)
    bundle, path, corrections = train(file), tmp_path / "page.html", tmp_path / "corrections.csv"
    source = ("--source", tmp_path / "images")
    succeed("report", bundle, file, "-o", path, *source)
    assert suspects(path) == ["000.jpg"]
    for tab in opened(browser, path):
        show(tab, "#suspects")
        card = tab.locator("#suspects .card")
        card.first.wait_for()
        card.get_by_role("button", name="It is").press("Enter")
        (row,) = download(tab, tmp_path)
    assert row["id"] == "000.jpg" and row["label"] == NAMES[0]
    succeed("train", file, "--corrections", corrections, "-o", tmp_path / "corrected")
    told = json.loads(succeed("info", tmp_path / "corrected", "--json"))
    assert told["corrections"]["relabelled"] == {"train": 1}
    again = tmp_path / "again.html"
    succeed("report", tmp_path / "corrected", file, "--corrections", corrections, "-o", again, *source)
    assert suspects(again) == []
    assert "corrections.csv are applied: 1 relabelled" in again.read_text()
    for tab in opened(browser, again):
        show(tab, "#errors")
        tab.locator("#confusion [data-cell]").first.click()
        tab.locator("#cell button", has_text="Leave out").first.click()
        first, _ = download(tab, tmp_path)
        assert first["id"] == "000.jpg", "earlier corrections are handed on"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(page_of_three, scheme, width):
    axe = pytest.importorskip("axe_core_python", reason="needs the package axe-core-python")
    page = page_of_three
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for section in ("#errors", "#suspects", "#copies", "#unfamiliar", "#canvas"):
        show(page, section)
        page.wait_for_timeout(150)
    page.locator("[data-cell]").first.click()
    page.locator("#suspects .card button").first.click()
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = json.loads(page.evaluate("axe.run().then(found => JSON.stringify(found.violations))"))
    told = [
        (each["id"], each["impact"], [node["html"][:120] for node in each["nodes"]][:3]) for each in found
    ]
    assert [each for each in told if each[1] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [1280, 700, 390, 320])
def test_nothing_sticks_out_of_a_narrow_screen(page_of_three, width):
    page_of_three.set_viewport_size({"width": width, "height": 900})
    for section in ("#suspects", "#copies", "#unfamiliar", "#canvas"):
        show(page_of_three, section)
        page_of_three.wait_for_timeout(100)
    assert page_of_three.evaluate("document.documentElement.scrollWidth") <= width


def test_a_printed_page_has_its_pictures_and_no_controls(page, tmp_path):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#unfamiliar .card").count() > 0
    assert page.locator("nav").is_hidden() and page.locator(".acts").first.is_hidden()
    assert len(page.pdf()) > 20_000


def test_the_command_names_a_page_that_opens(browser, written, tmp_path):
    folder = written.parent
    path = tmp_path / "page.html"
    succeed("report", folder / "hostile-logistic", folder / "hostile.h5", "-o", path, "--no-images")
    for tab in opened(browser, path):
        assert tab.locator("h1 .big").inner_text().endswith("%")
