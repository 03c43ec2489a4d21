"""A source is one entry of a table, and its module: this one, whose images are drawn."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts, run_command

from data import HeadstartError, open_source
from data.sources.arrays import npy_bytes
from data.sources.source import SOURCES, Kind, Row, Source, grammar, source_kind
from data.testing.source import SourceContract

HERE = Path(__file__).parent
ENTRY = Kind(
    "shades:NUMBER",
    lambda text: text.startswith("shades:"),
    "test_data_source_table:open_shades",
    ("data_dir",),
    lambda text: text.replace(":", "-"),
)
_MAIN = """
import sys
from data.sources.source import SOURCES
from test_data_source_table import ENTRY
SOURCES["shades"] = ENTRY
from extract.cli import app
app(sys.argv[1:])
"""


@dataclass(frozen=True)
class Shades(Source):
    """Grey images, light and dark."""

    rows: tuple[Row, ...]
    class_names: tuple[str, ...] = ("dark", "light")
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "shades"}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            yield npy_bytes(np.full((8, 8), np.arange(8) + 7 * int(row.id), np.uint8))


def open_shades(text: str, data_dir: str | Path | None = None) -> Shades:
    number = int(text.split(":")[1])
    return Shades(tuple(Row(str(each), int(2 * each >= number)) for each in range(number)))


@pytest.fixture
def shades(monkeypatch):
    monkeypatch.setitem(SOURCES, "shades", ENTRY)


@pytest.mark.usefixtures("shades")
class TestOneEntry(SourceContract):
    @pytest.fixture
    def opened(self):
        return lambda: open_source("shades:12", data_dir="anywhere")


@pytest.mark.usefixtures("shades")
def test_one_entry_is_in_the_grammar_and_its_messages():
    assert source_kind("shades:12") == "shades"
    assert grammar().endswith(" | shades:NUMBER") and grammar("data_dir").endswith("| shades:NUMBER")
    with pytest.raises(HeadstartError, match="shades:NUMBER") as caught:
        open_source("nowhere")
    assert_four_parts(str(caught.value))
    with pytest.raises(HeadstartError, match="--folders-are-classes has no meaning") as caught:
        open_source("shades:12", folders_are_classes=True)
    assert f"expected: a source {grammar('folders_are_classes')}\n" in str(caught.value)


def test_commands_and_their_help_take_it(tmp_path, cache):
    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", _MAIN, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "shades:NUMBER" in run("run", "--help").stdout
    how = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none", "--json")
    done = run("run", "shades:12", *how)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 12
    info = run_command("extract", "info", "shades-12.h5", "--json", cwd=tmp_path)
    assert json.loads(info.stdout)["source"] == {"kind": "shades"}


@pytest.mark.parametrize(
    ("text", "name"),
    [("tfds:cats_vs_dogs:train[:40%]", "cats_vs_dogs"), ("tfds:a/b", "a-b"), ("digits", "digits")],
)
def test_names_of_what_is_made_of_a_source(text, name):
    assert SOURCES[source_kind(text)].default_name(text) == name
