"""A `Page` to one HTML file that needs nothing but itself."""

import base64
import hashlib
import json
from pathlib import Path

from classify.report.page import Page
from classify.report.plots import percent
from data.errors import HeadstartError
from data.names import shortened, visible
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.disk import writing
from data.output.ours import REPORT
from data.text import counted

_HERE = Path(__file__).parent
_WARNED, _REFUSED = 25_000_000, 50_000_000  # bytes
_BLANK = "\xa0"
_CLASSES = 150  # of the table: more would slow the page down
# In a script element: no end tag, no comment, no line end of JavaScript that JSON does not know.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(page: Page) -> str:
    """Return the page as HTML; the same page gives the same text."""
    import jinja2
    from markupsafe import Markup

    style, script = (_text(name) for name in ("report.css", "report.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "counted": counted,
        "visible": _text_of,
        "short": lambda name, most=48: shortened(name, most),
    }
    return environment.get_template("report.html.j2").render(
        page=page,
        classes=_weakest(page.scores["classes"]),
        first_line=Markup(REPORT),
        style=Markup(style),
        script=Markup(script),
        policy="; ".join(_policy(style, script)),
        data=Markup(embedded(_data(page))),
    )


def write_report(path: Path, page: Page, *, large: bool = False) -> int:
    """Write the page and return its bytes.

    Raises
    ------
    HeadstartError
        If it is too large, or the file cannot be written, or is there and no report.
    """
    check_report(path)
    text = render(page).encode("utf-8")
    if len(text) > _REFUSED and not large:
        raise HeadstartError(
            "the report would be too large to be opened with ease",
            f"at most {_REFUSED / 1e6:.0f} MB",
            f"{len(text) / 1e6:.1f} MB",
            "report on fewer images, leave pictures out with --no-images, or allow it with --large",
        )
    with writing(path, "or choose another -o"), written_aside(path) as aside:
        aside.write_bytes(text)
    return len(text)


def check_report(path: Path) -> None:
    """Raise if `write_report` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "report")


def size_warnings(size: int) -> list[str]:
    """Warn of a page that browsers open slowly.

    Examples
    --------
    >>> size_warnings(1_000_000), size_warnings(26_000_000)
    ([], ['the report has 26.0 MB, which browsers open slowly; --no-images leaves pictures out'])
    """
    if size <= _WARNED:
        return []
    return [
        f"the report has {size / 1e6:.1f} MB, which browsers open slowly; --no-images leaves pictures out"
    ]


def embedded(values: object) -> str:
    """Return values as JSON that may stand in a script element.

    Examples
    --------
    >>> embedded({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def _text_of(text: str) -> str:
    """Return a text with escapes for signs that cannot be seen, but for our own blanks before a unit."""
    return _BLANK.join(map(visible, text.split(_BLANK)))


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _policy(style: str, script: str) -> list[str]:
    """Return what the page may load: pictures within it, and the one style and the one script that it has."""
    return [
        "default-src 'none'",
        "img-src data: blob:",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _weakest(classes: list[dict]) -> list[dict]:
    """Return classes by recall, those without rows last."""
    by_recall = sorted(classes, key=lambda row: row["recall"]["value"] if row["recall"] else 2)
    return by_recall[:_CLASSES]


def _data(page: Page) -> dict:
    """Return what the script draws: rows by number, and galleries, cells and map that name them."""
    numbers = {row: number for number, row in enumerate(page.rows)}
    rows = page.rows.values()
    return {
        "classes": page.classes,
        "rows": {
            "id": [row.id for row in rows],
            "digest": [row.digest for row in rows],
            "label": [row.label for row in rows],
            "predicted": [row.predicted for row in rows],
            "probability": [row.probability for row in rows],
            "own": [row.label_probability for row in rows],
            "split": [row.split for row in rows],
            "large": [page.pictures.large.get(row, 0) for row in page.rows],
            "small": [page.pictures.small.get(row, 0) for row in page.rows],
        },
        "galleries": {
            name: [
                [numbers[card.row], card.suggested, card.reason, [numbers[row] for row in card.beside]]
                for card in gallery.cards
            ]
            for name, gallery in page.galleries.items()
        },
        "cells": {
            f"{label},{predicted}": [numbers[row] for row in rows]
            for (label, predicted), rows in page.cells.items()
        },
        "map": {
            "row": [numbers[row] for row in page.map.rows.tolist()],
            "x": page.map.x.tolist(),
            "y": page.map.y.tolist(),
        },
        "thresholds": page.thresholds,
        "corrected": page.corrected,
        "sizes": [[atlas.width, atlas.height] for atlas in page.pictures.atlases],
        "key": hashlib.sha256("".join(row.digest for row in rows).encode()).hexdigest()[:16],
    }
