"""How commands speak where the output cannot encode a name: escapes, never a loss."""

import json

import pytest
from conftest import draw_images, run_command

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


@pytest.mark.parametrize("words", [("extract", "info", "猫.h5"), ("classify", "train", "x.h5", "--猫")])
def test_errors_are_told_all_the_same(tmp_path, words):
    done = run_command(*words, cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode in (1, 2) and r"\u732b" in done.stderr
    assert "Traceback" not in done.stderr
