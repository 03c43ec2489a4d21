"""How commands speak: escapes where the output cannot encode a name, and no words of libraries."""

import io
import json
import os
import subprocess
import sys

import pytest
from conftest import assert_four_parts, draw_images, run_command
from PIL import Image
from typer.testing import CliRunner

from classify.cli import app as classification
from classify.headstart import application
from data import document
from data.cli import app as looking
from data.console import show
from extract.cli import app as extraction

NAMES = ("猫", "café 😀")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, their feature file and a bundle, all with names beyond cp1252."""
    folder = tmp_path_factory.mktemp("any script")
    draw_images(folder / "фото", NAMES, each=20)
    (folder / "фото" / NAMES[0] / "broken 猫.png").write_bytes(b"\x89PNG no image")
    small = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none")
    done = run_command("extract", "run", "фото", *small, cwd=folder, PYTHONIOENCODING="cp1252")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert r"\u0444\u043e\u0442\u043e.h5: 40 rows" in done.stdout
    assert r"rejected: \u732b/broken \u732b.png" in done.stderr
    words = ("train", "фото.h5", "--head", "centroid", "-o", "голова")
    done = run_command("classify", *words, cwd=folder, PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    return folder


COMMANDS = {
    "info": ("extract", "info", "фото.h5"),
    "preview": ("data", "preview", "фото", "-o", "лист.png"),
    "evaluate": ("classify", "evaluate", "голова", "фото.h5"),
    "predict": ("classify", "predict", "голова", "фото/café 😀/000.png", "фото/猫/broken 猫.png", "--csv"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_names_are_escaped_where_the_output_cannot_encode_them(folder, name):
    done = run_command(*COMMANDS[name], cwd=folder, PYTHONIOENCODING="cp1252")
    assert r"\u" in done.stdout.lower() and "café" in done.stdout
    assert "Traceback" not in done.stderr


def test_json_is_the_same_in_every_encoding(folder):
    found = [
        json.loads(
            run_command("extract", "info", "фото.h5", "--json", cwd=folder, PYTHONIOENCODING=name).stdout
        )
        for name in ("cp1252", "ascii", "utf-8")
    ]
    assert found[0] == found[1] == found[2] and NAMES[0] in json.dumps(found[2], ensure_ascii=False)


FAILING = {
    "a user's error of classify": (classification, "info no_bundle", 1),
    "and of extract": (extraction, "info no.h5", 1),
    "and of data": (looking, "preview no_source", 1),
    "an unknown name": (classification, "train no.h5 --head logistik", 2),
    "a value that Typer refuses": (classification, "predict no_bundle a.png --csv", 2),
    "an unknown option": (extraction, "verify no.h5 --odd", 2),
    "by the console script": (application(), "classify info no_bundle", 1),
}


@pytest.mark.parametrize(("app", "words", "code"), FAILING.values(), ids=FAILING)
def test_what_fails_under_json_is_a_document_too(app, words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, asked = (CliRunner().invoke(app, [*words.split(), *more]) for more in ((), ("--json",)))
    error = json.loads(asked.stdout)["error"]
    assert (asked.exit_code, error["exit_code"]) == (code, code)
    assert error["happened"] in " ".join(asked.stderr.replace("\u2502", "").split())
    if "Usage" not in asked.stderr:
        assert asked.stderr == plain.stderr and plain.stdout == "" and plain.exit_code == code
        parts = [error[name] for name in ("happened", "expected", "received", "todo")]
        assert all(part in asked.stderr for part in parts)


def test_a_failure_after_the_document_began_is_no_second_one(capsys):
    document.begin(["--json"])
    show([1], list, as_json=True)
    document.tell_failure({"happened": "too late"}, 1)
    assert json.loads(capsys.readouterr().out) == [1]


def test_options_of_another_command_ask_for_nothing(capsys):
    document.begin(["photos", "--", "--json"])
    document.tell_failure({"happened": "no"}, 1)
    assert capsys.readouterr().out == ""


def test_a_failure_that_nobody_reads_ends_as_always(tmp_path):
    command = f"({sys.executable} -m extract info no.h5 --json; echo $? >code) | true"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (tmp_path / "code").read_text().strip() == "1"
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize("words", [("extract", "info", "猫.h5"), ("classify", "train", "x.h5", "--猫")])
def test_errors_are_told_all_the_same(tmp_path, words):
    done = run_command(*words, cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode in (1, 2) and r"\u732b" in done.stderr
    assert "Traceback" not in done.stderr


_NOISE = """
import os, sys, warnings
from data.console import prepare_logging, say
prepare_logging()
os.write(2, b"noise of a C library")
warnings.warn("noise of Pillow")
warnings.warn("lbfgs failed to converge\\nafter 3 iterations")
say("ours")
"""


def test_libraries_write_nothing_to_stderr():
    done = subprocess.run([sys.executable, "-c", _NOISE], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: lbfgs failed to converge after 3 iterations\nours\n"


def test_a_damaged_jpeg_that_decodes_is_taken_without_a_word(tmp_path):
    draw_images(tmp_path / "photos", each=2)
    image = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(image, "jpeg")
    data = bytearray(image.getvalue())
    scan = data.index(b"\xff\xda") + 40
    data[scan : scan + 12] = b"\xfe" * 12  # libjpeg then prints that it is corrupt, and goes on
    (tmp_path / "photos" / "red" / "odd.jpg").write_bytes(data)
    small = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none")
    done = run_command("extract", "run", "photos", *small, cwd=tmp_path)
    assert "5 rows, 5 computed" in done.stdout and "JPEG" not in done.stderr, done.stderr


def test_a_command_collects_garbage_seldom_and_none_at_its_end(tmp_path):
    """Of what imports made, which is most of it in a short process; 0.3 s of `classify predict`."""
    told = "print(gc.get_threshold()[0], gc.get_freeze_count() > 0)"
    code = f"import atexit, gc; atexit.register(lambda: {told})\n"
    code += "from data.cli import app; app(['preview', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "50000 True"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_takes_nothing_and_breaks_nothing(folder, closed):
    command = f"{sys.executable} -m extract info фото.h5 --json {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == "2>&-")


@pytest.mark.parametrize("words", ["extract run photos -o rel.h5", "extract run", "data preview"])
def test_a_working_folder_that_is_gone_is_one_message(tmp_path, words):
    command = f"mkdir gone; cd gone; rmdir ../gone; exec {sys.executable} -P -m {words}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert_four_parts(done.stderr)


def test_a_package_that_cannot_be_imported_is_one_message(broken_tensorflow, tmp_path):
    draw_images(tmp_path / "photos", each=2)
    words = ("extract", "run", "photos", "-o", "x.h5", "--engine", "keras", "--weights", "none")
    done = run_command(*words, cwd=tmp_path, PYTHONPATH=broken_tensorflow, KERAS_BACKEND="tensorflow")
    assert done.returncode == 1, done.stderr
    assert_four_parts(done.stderr[done.stderr.index("error:") :])
    assert "libcudart.so: cannot open" in done.stderr


def test_an_image_that_needs_a_broken_tensorflow_is_rejected_alone(broken_tensorflow, tmp_path):
    Image.new("CMYK", (40, 40)).save(tmp_path / "cmyk.jpg")
    code = "from data.images import load_image; load_image(open('cmyk.jpg', 'rb').read(), (32, 32))"
    env = {**os.environ, "PYTHONPATH": broken_tensorflow}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "ImageError" in done.stderr.splitlines()[-1]
    assert "cannot be imported (libcudart.so: cannot open" in done.stderr
