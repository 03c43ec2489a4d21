"""From images to a page by five commands: their lines, what is done again, failures, Ctrl-C."""

import json
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
from conftest import draw_images
from invoking import fail, invoke
from typer.main import get_command

from classify.commands.auto import RECORD, auto, signature, steps
from data.output.ours import kind_of_output

FAKE = """
import hashlib, os, pathlib, shutil, signal, sys, time
features, log, *words = sys.argv[1:]
name = words[1]
with open(log, "a") as file:
    file.write(name + "\\n")
acts = pathlib.Path(log + "." + name)
act = acts.read_text() if acts.exists() else ""
if act == "fail":
    print("error: it does not work", file=sys.stderr)
    sys.exit(1)
if act == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if act == "interrupt":
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as behind nohup
    ends = signal.SIGTERM if ignored else signal.SIGINT
    signal.signal(ends, lambda *_: (acts.write_text("ended"), os._exit(130)))
    os.kill(os.getppid(), ends)
    time.sleep(60)
for option, path in zip(words, words[1:]):
    path = pathlib.Path(path)
    if option == "-o" and name == "sweep":
        path.mkdir(exist_ok=True)
        read = [pathlib.Path(word).read_bytes() for word in words if word.endswith((".h5", ".csv"))]
        (path / "bundle.json").write_text(hashlib.sha256(b"".join(read)).hexdigest())
    elif option == "-o" and name == "run":
        shutil.copy(features, path)
    elif option in ("-o", "--csv", "--corrections-out"):
        path.write_text(name)
print("printed by", name, act)
"""


@pytest.fixture
def fake(two_layers, tmp_path, monkeypatch):
    """Put a script in the place of every command; return what tells which ones ran, and what they do."""
    script, log = tmp_path / "fake.py", tmp_path / "log"
    script.write_text(FAKE)
    features = shutil.copy(two_layers, tmp_path / "theirs.h5")
    command = [sys.executable, str(script), str(features), str(log)]
    monkeypatch.setattr("classify.commands.auto.command_of", lambda *words: [*command, *words])
    monkeypatch.chdir(tmp_path)

    def ran() -> list[str]:
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return names

    def act(name: str, what: str) -> None:
        Path(f"{log}.{name}").write_text(what)

    return ran, act


ALL = ["run", "sweep", "audit", "report", "export"]


def test_five_commands_and_what_to_open(fake):
    ran, _ = fake
    result = invoke("auto", "photos", "-o", "out")
    assert result.exit_code == 0 and ran() == ALL
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("$ ")] == [
        f"$ {step.line}" for step in steps("photos", Path("out"), None)
    ]
    assert lines[0] == "$ python -m extract run photos -o out/features.h5"
    assert lines[-2:] == ["printed by export ", "open out/report.html"]
    assert result.stderr.splitlines()[0] == "step 1 of 5: features of the images"
    assert kind_of_output("out") == "automatic run"


def test_what_is_done_is_not_done_again(fake):
    ran, _ = fake
    first = succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == ALL
    assert succeed_quietly("auto", "photos", "-o", "out") == first, "what was printed is printed again"
    assert ran() == ["run"]
    Path("moved").mkdir()
    shutil.move("out", "moved/out")
    succeed_quietly("auto", "photos", "-o", "moved/out")
    assert ran() == ["run"]


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("report.html", ["run", "report"]),
        ("suspects.csv", ["run", "audit"]),
        ("model.keras", ["run", "export"]),
    ],
)
def test_what_is_gone_is_made_again(fake, lost, again):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    ran()
    Path("out", lost).unlink()
    succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == again


def recorded(steps: str) -> str:
    return f'{{"format": "headstart automatic run", "steps": {steps}}}'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"format": "headstart automatic run"}',
        recorded("[]"),
        recorded('{"extract run": 3}'),
        recorded('{"extract run": {"key": "", "printed": []}}'),
        recorded('{"extract run": {"key": "", "printed": [1], "seconds": 1}}'),
        recorded('{"extract run": {"key": 1, "printed": [], "seconds": 1}}'),
    ],
)
def test_a_damaged_record_is_one_message_and_runs_nothing(fake, text):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    ran()
    Path("out", RECORD).write_text(text)
    assert RECORD in fail("auto", "photos", "-o", "out")
    assert ran() == [] and Path("out", RECORD).read_text() == text


def test_what_a_damaged_record_is_mended_by(fake):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    ran()
    Path("out", RECORD).write_text(recorded("3"))
    told = fail("auto", "photos", "-o", "out").partition("put ")[2].partition(" into it")[0]
    Path("out", RECORD).write_text(told)
    succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == ALL


def test_what_follows_from_other_features_is_made_again(fake, tiny_file):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    ran()
    shutil.copy(tiny_file, "theirs.h5")
    succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == ALL


def test_another_head_has_another_page_and_model(fake):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    Path("out", "head", "bundle.json").write_text("trained by hand")
    ran()
    succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == ["run", "report", "export"]
    assert Path("out", "head", "bundle.json").read_text() == "trained by hand"


def test_corrections_go_to_those_that_take_them(fake):
    ran, _ = fake
    succeed_quietly("auto", "photos", "-o", "out")
    ran()
    Path("mine.csv").write_text("digest,id,label\n")
    printed = succeed_quietly("auto", "photos", "-o", "out", "--corrections", "mine.csv")
    assert ran() == ALL
    given = [line.split()[4] for line in printed.splitlines() if "--corrections mine.csv" in line]
    assert given == ["sweep", "audit", "report"]
    Path("mine.csv").write_text("digest,id,label\n\n")
    succeed_quietly("auto", "photos", "-o", "out", "--corrections", "mine.csv")
    assert ran() == ALL
    Path("mine.csv").write_text("digest,id,label\n\n")
    succeed_quietly("auto", "photos", "-o", "out", "--corrections", "mine.csv")
    assert ran() == ["run"]


@pytest.mark.parametrize(
    ("name", "what", "told"),
    [
        ("run", "fail", "exit code 1: "),
        ("sweep", "killed", "exit code -9 (killed"),
        ("export", "fail", "exit code 1: "),
    ],
)
def test_a_step_that_fails_is_named_and_gone_on_from(fake, name, what, told):
    ran, act = fake
    act(name, what)
    result = invoke("auto", "photos", "-o", "out")
    assert result.exit_code == 1 and "Traceback" not in result.stderr
    assert ran() == ALL[: ALL.index(name) + 1]
    (ended,) = [line for line in result.stderr.splitlines() if "this step ended" in line]
    assert told in ended and ended.endswith(steps("photos", Path("out"), None)[ALL.index(name)].line)
    assert "open " not in result.stdout
    act(name, "")
    assert succeed_quietly("auto", "photos", "-o", "out").endswith("open out/report.html\n")
    assert ran() == list(dict.fromkeys(["run", *ALL[ALL.index(name) :]]))


@pytest.mark.parametrize("ignored", [False, True])  # SIGINT, as behind nohup, where SIGTERM comes
def test_a_signal_waits_for_the_step_and_goes_on(fake, ignored):
    ran, act = fake
    on_int = signal.SIG_IGN if ignored else signal.default_int_handler
    before = [(signal.SIGINT, signal.signal(signal.SIGINT, on_int))]
    before += [(signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))]
    try:
        act("audit", "interrupt")
        with pytest.raises(KeyboardInterrupt, match="the same line goes on"):
            auto("photos", None, Path("out"), None, False)
    finally:
        for each, handler in before:
            signal.signal(each, handler)
    assert Path("log.audit").read_text() == "ended", "the step ended by itself"
    assert ran() == ["run", "sweep", "audit"]
    succeed_quietly("auto", "photos", "-o", "out")
    assert ran() == ["run", "audit", "report", "export"]


def test_ctrl_c_in_the_first_step_leaves_a_folder_of_ours(fake):
    _, act = fake
    act("run", "fail")
    assert invoke("auto", "photos", "-o", "out").exit_code == 1
    assert kind_of_output("out") == "automatic run"
    act("run", "")
    succeed_quietly("auto", "photos", "-o", "out")


def test_json_is_one_document(fake):
    result = invoke("auto", "photos", "-o", "out", "--json")
    values = json.loads(result.stdout)
    assert values["page"] == "out/report.html"
    assert [each["command"].split()[3] for each in values["steps"]] == ALL
    assert values["steps"][1]["printed"] == ["printed by sweep "]
    assert (
        json.loads(invoke("auto", "photos", "-o", "out", "--json").stdout)["steps"][1:] == values["steps"][1:]
    )


def test_folders_of_others_are_refused(fake, tmp_path):
    ran, _ = fake
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    assert "cannot take an automatic run" in fail("auto", "photos", "-o", theirs)
    (tmp_path / "file").write_text("mine")
    fail("auto", "photos", "-o", tmp_path / "file")
    assert ran() == [] and sorted(path.name for path in theirs.iterdir()) == ["thesis.txt"]


HOSTILE = ("a folder of mine", "$(touch x); 'q\"", "=cmd()", "two\nlines", "ünï çödé")


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_names_reach_the_commands_as_they_are(name):
    for step in steps(name, Path(name), Path(f"{name}.csv")):
        assert shlex.split(step.line)[3:] == step.words[1:]
    assert steps(name, Path(name), None)[0].words[2] == name


def test_the_lines_are_those_of_the_commands():
    """Every line is one that its command takes."""
    from classify.cli import app as classify
    from extract.cli import app as extract

    apps = {"classify": get_command(classify), "extract": get_command(extract)}
    for step in steps("photos", Path("out"), Path("some.csv"), ["--image-size", "299", "--max-bad", "0.5"]):
        package, name, *words = step.words
        apps[package].commands[name].make_context(name, words).close()


def test_options_of_run_stand_behind_two_dashes(fake):
    printed = succeed_quietly("auto", "photos", "-o", "out", "--", "--image-size", "299")
    assert printed.splitlines()[0] == "$ python -m extract run photos --image-size 299 -o out/features.h5"
    assert invoke("auto", "photos", "-o", "out", "--image-size", "299").exit_code == 2


def test_a_signature_follows_what_is_in_a_bundle(tmp_path, layers_bundle):
    copied = shutil.copytree(layers_bundle, tmp_path / "elsewhere")
    assert signature(copied) == signature(layers_bundle)
    (copied / "more").write_text("")
    assert signature(copied) != signature(layers_bundle)


def succeed_quietly(*words) -> str:
    """Run a command that should work, and return what it printed; what it says on the way is no matter."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_from_images_to_a_page_and_a_model(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "images", each=60)
    words = [
        "auto",
        "images",
        "-o",
        "out",
        "--",
        "--backbone",
        "mobilenet",
        "--weights",
        "none",
        "--image-size",
        32,
    ]
    first = succeed_quietly(*words)
    assert " of the head on 16 images" in first.splitlines()[-2] and first.endswith("open out/report.html\n")
    assert "<html" in Path("out", "report.html").read_text()
    made = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.name != RECORD}
    second = succeed_quietly(*words).splitlines()
    assert second[4:] == first.splitlines()[-len(second[4:]) :]
    kept = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.name != RECORD}
    assert {path.name for path in made if kept[path] != made[path]} <= {"features.h5", "out"}
