"""What is wrong with a source is one message that says what to do, whatever the command: a table of them."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import assert_four_parts
from image_files import png, save
from typer.testing import CliRunner

from data.cli import app as data_app
from extract.cli import app as extract_app


def tar(*names: str, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(png(0))
            archive.addfile(info, io.BytesIO(png(0)))
    return buffer.getvalue()


def in_zip(content: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def encrypted(content: bytes) -> bytes:
    place = content.index(b"PK\x01\x02") + 8
    return content[:place] + bytes([content[place] | 1]) + content[place + 1 :]


def table(**columns) -> bytes:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


# Of each file its content, the options that name it, and a part of the message.
REFUSED: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "cut tar": ("x.tar", lambda: tar("a/1.png", "b/2.png")[:800], "", "cannot be read as an archive"),
    "tar that leads out": ("x.tar", lambda: tar("a/1.png", "../2.png"), "", "a name that leads out of it"),
    "packed tar": ("x.tar.gz", lambda: tar("a/1.png", mode="w:gz"), "", "packed as a whole"),
    "empty tar": ("x.tar", tar, "", "no images were found"),
    "cut zip": ("x.zip", lambda: in_zip(png(0), "a/1.png")[:60], "", "cannot be read as an archive"),
    "zip that leads out": ("x.zip", lambda: in_zip(png(0), "../1.png"), "", "a name that leads out of it"),
    "zip bomb": ("x.zip", lambda: in_zip(bytes(10_000_000), "a/1.png"), "", "unpacks to far more"),
    "encrypted zip": ("x.zip", lambda: encrypted(in_zip(png(0), "a/1.png")), "", "is encrypted"),
    "page of a server": ("x.zip", lambda: b"<html>404</html>", "", "cannot be read as an archive"),
    "table without images": ("x.parquet", lambda: table(x=[1]), "", "holds no column of images"),
    "table without bytes": (
        "x.parquet",
        lambda: table(image=[{"bytes": None, "path": "1.png"}]),
        "",
        "holds no image",
    ),
    "cut table": ("x.parquet", lambda: table(image=[b"1"])[:-9], "", "cannot be read as Parquet"),
    "no such column": ("x.parquet", lambda: table(image=[b"1"]), "--label-column kind", "no column 'kind'"),
    "list without paths": ("x.csv", lambda: b"file,kind\n1.png,a\n", "", "lacks the column 'path'"),
    "list of what is not there": (
        "x.csv",
        lambda: b"path,label\n7.png,a\n",
        "",
        "none of the files is there",
    ),
    "root that is none": ("x.csv", lambda: b"path,label\n1.png,a\n", "--root nowhere", "is no folder"),
    "list in no encoding": ("x.csv", lambda: b"path,label\n\x81.png,a\n", "", "another encoding"),
    "no arrays": ("x.npz", lambda: b"hello", "", "x.npz"),
    "regex without a group": ("photos/1.png", lambda: png(0), "--label-regex [a-z]+", "--label-regex"),
    "regex that is none": ("photos/1.png", lambda: png(0), "--group-regex ([a-z]+", "--group-regex"),
    "pattern that leaves none": ("photos/1.png", lambda: png(0), "--include *.gif", "is let in"),
    "folder without images": ("photos/notes.txt", lambda: b"", "", "no images were found"),
    "several classes": (
        "photos/_classes.csv",
        lambda: b"filename,a,b\n1.png,1,1\n",
        "",
        "gives an image several classes",
    ),
    "range with a gap": ("x-{0..1}.tar", lambda: b"", "", "names archives that are not there"),
}


@pytest.mark.parametrize("command", ["run", "preview"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_source_is_one_message(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, content, options, told = REFUSED[name]
    path = Path(file)
    if "{" not in file:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content())
    source = str(path.parent if path.parent.name else path)
    app, output = (extract_app, "x.h5") if command == "run" else (data_app, "x.png")
    small = ["--backbone", "mobilenet", "--weights", "none"] if command == "run" else []
    done = CliRunner().invoke(app, [command, source, *options.split(), "-o", output, *small])
    assert done.exit_code in (1, 2) and done.stdout == "", done.output
    assert done.stderr.startswith("error: ") and told in done.stderr, done.stderr
    assert_four_parts(done.stderr)
    assert not Path(output).exists()


def test_a_source_that_is_fine_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, "photos/a/1.png")
    assert CliRunner().invoke(data_app, ["preview", "photos", "-o", "x.png"]).exit_code == 0
