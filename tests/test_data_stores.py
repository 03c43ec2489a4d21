"""Object stores: real servers on this machine, and what goes wrong on the way to them."""

import json
import pickle
import re
import shutil
import sys
import tarfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from conftest import ROOT, assert_four_parts, draw_images, refused, run_command
from servers import SECRET, Trouble, Web, fill, put, serving, web

from classify import Bundle
from classify.features.images import Images
from data import HeadstartError, open_source
from data.contact_sheet import preview
from data.errors import NotAllowedError, NotFoundError
from data.sources.options import words_of
from data.sources.source import source_kind
from data.stores.faults import StoreError
from data.stores.files import read
from data.stores.urls import Url, shown
from data.testing.source import SourceContract
from extract import FeatureFile, Options, extract
from extract.commands.options import default_name
from extract.run.scan import scan_source

pytest.importorskip("s3fs", reason="needs the extra stores")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("drawn") / "images", each=20)


@pytest.fixture(scope="module")
def bucket(object_store, drawn):
    return fill(object_store, "images", drawn, "photos/")


@pytest.fixture
def troubled(object_store, monkeypatch):
    """Put trouble between this process and the object store."""
    with pytest.MonkeyPatch.context() as patch:
        running = []

        def begin(**shares):
            trouble = Trouble(object_store, **shares)
            running.append(trouble.running())
            patch.setenv("AWS_ENDPOINT_URL", running[-1].__enter__())
            return trouble

        yield begin
        for each in running:
            each.__exit__(None, None, None)


def message(call) -> str:
    with pytest.raises(HeadstartError) as caught:
        call()
    assert_four_parts(str(caught.value))
    return str(caught.value)


class TestBucket(SourceContract):
    @pytest.fixture
    def opened(self, bucket):
        return lambda: open_source(bucket)


def test_the_command_of_the_page_reads_a_bucket(object_store, drawn, tmp_path):
    page = (ROOT / "docs/sources.md").read_text()
    (command,) = re.findall(r"\| in a bucket \| .+ \| `python -m (extract run s3://bucket/photos/)` \|", page)
    fill(object_store, "bucket", drawn, "photos/")
    options = ["--backbone", "mobilenet", "--image-size", "32", "--weights", "none", "--plan", "--json"]
    planned = json.loads(run_command(*command.split(), *options, cwd=tmp_path).stdout)
    assert planned["rows"] == 40


class TestTableInABucket(SourceContract):
    @pytest.fixture
    def opened(self, object_store, bucket):
        put(
            object_store,
            f"{bucket}/list.csv",
            b"path,label\nred/000.png,red\nblue/000.png,blue\nred/001.png,",
        )
        return lambda: open_source(f"{bucket}/list.csv")


class TestWeb(SourceContract):
    @pytest.fixture
    def opened(self, drawn):
        with web(drawn.parent) as address:
            yield lambda: open_source(f"{address}/images")


class TestTableOfAddresses(SourceContract):
    """Local images, images of a bucket and of the web in one list."""

    @pytest.fixture
    def opened(self, drawn, bucket, tmp_path):
        shutil.copy(drawn / "red" / "000.png", tmp_path / "here.png")
        with web(drawn) as address:
            lines = [
                "path,label",
                "here.png,red",
                f"{bucket}/red/001.png,red",
                f"{address}/blue/000.png,blue",
            ]
            (tmp_path / "list.csv").write_text("\n".join(lines))
            yield lambda: open_source(tmp_path / "list.csv")


def pack(kind: str, drawn: Path, folder: Path) -> Path:
    """Write the drawn images as an archive or as Parquet."""
    folder.mkdir(exist_ok=True)
    if kind == "parquet":
        parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        paths = sorted(drawn.rglob("*.png"))
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        labels = [path.parent.name for path in paths]
        parquet.write_table(
            pyarrow.table({"image": images, "label": labels}), folder / "x.parquet", row_group_size=7
        )
    elif kind == "shards":
        for number, name in enumerate(("red", "blue")):
            with tarfile.open(folder / f"train-{number:03d}.tar", "w") as tar:
                for path in sorted((drawn / name).iterdir()):
                    tar.add(path, f"{name}{path.name}")
                    (folder / "label").write_text(name)
                    tar.add(folder / "label", f"{name}{path.stem}.cls")
        (folder / "label").unlink()
    else:
        shutil.make_archive(str(folder / "x"), kind, drawn)
    return folder


PACKED = {
    "tar": "x.tar",
    "zip": "x.zip",
    "parquet": "x.parquet",
    "shards": "train-{000..001}.tar",
    "folder": "",
}


class TestPackedInABucket(SourceContract):
    @pytest.fixture(params=["zip", "parquet", "shards"])
    def opened(self, request, object_store, drawn, tmp_path):
        place = fill(object_store, request.param, pack(request.param, drawn, tmp_path / "packed"), "a/")
        return lambda: open_source(f"{place}/{PACKED[request.param]}")


# The same as on a disk


def test_a_bucket_is_read_as_the_folder(bucket, drawn):
    here, there = open_source(drawn), open_source(bucket)
    assert list(here.rows) == list(there.rows) and here.class_names == there.class_names
    assert here.describe() == there.describe() and here.how == there.how


def test_names_of_any_kind(object_store, tmp_path):
    names = ["a b/é 1%20.png", "a b/x&y#1?.png", "c+d/犬.png", ".hidden/1.png", "c+d/.1.png", "@eaDir/1.png"]
    draw_images(tmp_path / "drawn", each=1)
    for name in names:
        (tmp_path / "odd" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "drawn" / "red" / "000.png", tmp_path / "odd" / name)
    (tmp_path / "odd" / "c+d" / "notes.txt").write_text("none")
    here = open_source(tmp_path / "odd")
    with web(tmp_path) as address:
        for place in (fill(object_store, "odd", tmp_path / "odd"), f"{address}/odd"):
            there = open_source(place)
            assert [row.id for row in there.rows] == [row.id for row in here.rows] and len(here.rows) == 3
            assert there.warnings == here.warnings
            assert list(there.read(there.rows)) == list(here.read(here.rows))


def test_splits_and_labels_in_names(object_store, tmp_path):
    draw_images(tmp_path / "train", each=2)
    draw_images(tmp_path / "val", each=1, first=4)
    place = fill(object_store, "splits", tmp_path)
    assert list(open_source(place).rows) == list(open_source(tmp_path).rows)
    how = {"label_regex": r"^(\w+)/", "exclude": ("val",)}
    assert list(open_source(place, **how).rows) == list(open_source(tmp_path, **how).rows)


def test_a_table_with_a_root_in_a_bucket(bucket, drawn, tmp_path):
    (tmp_path / "list.csv").write_text("path,label\nred/000.png,red\n./blue/001.png,\n")
    here, there = (open_source(tmp_path / "list.csv", root=root) for root in (drawn, bucket))
    assert list(here.rows) == list(there.rows) and here.describe() == there.describe()
    assert list(here.read(here.rows)) == list(there.read(there.rows))
    assert there.address()["root"] == bucket and not there.sendable
    (tmp_path / "list.csv").write_text("path,label\nred/none.png,red\n")
    refused(lambda: open_source(tmp_path / "list.csv", root=bucket), "none of the files is there", bucket)
    (tmp_path / "list.csv").write_text("path,label\n../../../none.png,red\n")
    refused(lambda: open_source(tmp_path / "list.csv", root=bucket), "leads out of s3://images")


def test_a_path_object_is_an_address_too(bucket):
    assert open_source(Path(bucket)).location == bucket


# Through faults, and a second time


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_file_through_faults_and_no_image_twice(
    seed, object_store, bucket, drawn, troubled, tiny_recipe, tmp_path
):
    extract(open_source(drawn), tiny_recipe, tmp_path / "folder.h5", Options(engine="openvino"))
    trouble = troubled(broken=0.05, cut=0.05, slow=0.05, seed=seed)
    report = extract(open_source(bucket), tiny_recipe, tmp_path / "bucket.h5", Options(engine="openvino"))
    assert trouble.made["broken"] and trouble.made["cut"] and report.computed == 40
    assert (tmp_path / "bucket.h5").read_bytes() == (tmp_path / "folder.h5").read_bytes()
    trouble.asked.clear()
    again = extract(open_source(bucket), tiny_recipe, tmp_path / "bucket.h5", Options(engine="openvino"))
    assert again.computed == 0 and trouble.images_read() == [] and trouble.asked
    other = tmp_path / "other.h5"
    extract(
        open_source(bucket), tiny_recipe, other, Options(engine="openvino", reuse=(tmp_path / "bucket.h5",))
    )
    assert trouble.images_read() == []


def test_only_what_has_changed_is_read_again(object_store, drawn, troubled):
    place = fill(object_store, "changing", drawn)
    trouble = troubled()
    before = scan_source(open_source(place)).digests
    data = bytearray((drawn / "red" / "003.png").read_bytes())
    data[-1] ^= 1
    put(object_store, f"{place}/red/003.png", bytes(data))  # of the same size, in the same second
    trouble.asked.clear()
    after = scan_source(open_source(place)).digests
    assert sum(map(lambda old, new: old != new, before, after)) == 1
    assert len(trouble.images_read()) == 1


def test_the_web_says_when_a_file_was_changed(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "images")
    with web(tmp_path) as upstream:
        trouble = Trouble(upstream, broken=0.05, cut=0.05)
        with trouble.running() as address:
            source = open_source(f"{address}/images")
            stamps = source.stamps()
            assert all(stamp.size and not stamp.exact for stamp in stamps)
            assert stamps == open_source(tmp_path / "images").stamps() or stamps[0].version % 10**9 == 0
            found = scan_source(source).digests
            assert found == scan_source(open_source(drawn)).digests
            trouble.asked.clear()


def test_reading_is_ahead_in_order_and_bounded(bucket, troubled, monkeypatch):
    monkeypatch.setattr("data.stores.remote.AHEAD", 7)
    source = open_source(bucket)
    trouble = troubled(slow=1)
    rows = [source.rows[number] for number in np.random.default_rng(0).permutation(40)[:20]]
    taken = source.read(iter(rows))
    first = next(taken)
    time.sleep(0.5)
    assert len(trouble.images_read()) == 7 and 1 < trouble.most <= 7
    read = [first, *taken]
    trouble.slow = 0
    held = dict(zip((row.id for row in source.rows), source.read(source.rows), strict=True))
    assert read == [held[row.id] for row in rows]


def test_little_waits_where_images_are_large(bucket, troubled, monkeypatch):
    monkeypatch.setattr("data.stores.remote._MOST_HELD", 1)
    source = open_source(bucket)
    trouble = troubled()
    assert len(list(source.read(source.rows))) == 40
    assert len(trouble.images_read()) == 40


def test_what_is_gone_while_we_read_is_as_a_file_that_vanished(bucket, troubled, tiny_recipe, tmp_path):
    source = open_source(bucket)
    troubled().status["red/007.png"] = 404
    scan = scan_source(source, rehash=True)
    assert list(scan.unreadable) == ["red/007.png"] and scan.digests.count(None) == 1
    report = extract(source, tiny_recipe, tmp_path / "out.h5", Options(engine="openvino", rehash=True))
    assert (report.rows, report.rejected) == (39, 1)


@pytest.mark.parametrize("kind", PACKED)
def test_packed_images_through_faults_and_by_their_ranges(kind, object_store, drawn, troubled, tmp_path):
    folder = pack("shards" if kind == "folder" else kind, drawn, tmp_path / "packed")
    place = fill(object_store, f"faulty-{kind}", folder, "a/")
    here = open_source(folder / PACKED[kind])
    trouble = troubled(broken=0.05, cut=0.05)
    there = open_source(f"{place}/{PACKED[kind]}")
    assert list(here.rows) == list(there.rows) and here.describe() == there.describe()
    first = scan_source(there).digests
    assert first == scan_source(here).digests
    assert kind == "parquet" or trouble.made["broken"] + trouble.made["cut"]  # of its few requests maybe none
    trouble.asked.clear()
    assert scan_source(there).digests == first and {method for method, _ in trouble.asked} == {"HEAD"}
    with web(tmp_path) as address:
        if kind != "folder":
            last = open_source(f"{address}/packed/{PACKED[kind]}")
            assert list(last.read(last.rows)) == list(here.read(here.rows))


def test_a_server_that_knows_no_ranges(drawn, tmp_path):
    pack("tar", drawn, tmp_path / "packed")
    with serving(partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as address:
        source = open_source(f"{address}/packed/x.tar")
        assert "cannot be read by parts" in message(lambda: scan_source(source))
        assert "there is nothing" in message(lambda: open_source(f"{address}/packed/none.tar"))
        words = message(lambda: open_source(f"{address}/packed/none-{{0..1}}.tar"))
        assert "archives that are not there" in words


def test_images_of_a_store_are_predicted(bucket, drawn, tiny_bundle):
    with web(drawn) as address:
        found = Bundle.load(tiny_bundle).predict([bucket, f"{address}/red/000.png", f"{bucket}/none.png"])
    here = Bundle.load(tiny_bundle).predict([drawn, drawn / "red" / "000.png"])
    assert [each.label for each in found[:-1]] == [each.label for each in here] and len(found) == 42
    assert found[0].file == f"{bucket}/blue/000.png" and "no such object" in found[-1].error


def test_commands_that_read_images_again(bucket, drawn, tiny_recipe, tmp_path):
    extract(open_source(bucket), tiny_recipe, tmp_path / "a.h5", Options(engine="openvino"))
    images = Images.of(tmp_path / "a.h5")
    assert images.source.location == bucket and images.read(3) and images.missing == 0
    again = run_command("extract", "verify", "a.h5", "--source", bucket, "--sample", "3", cwd=tmp_path)
    assert (again.returncode, again.stdout.strip()) == (0, "a.h5: sound"), again.stderr
    assert preview(bucket, tmp_path / "sheet.png").images[0]["id"] == "blue/000.png"
    assert default_name(f"{bucket}?x") == "photos?x.h5" and default_name(f"{bucket}/") == "photos.h5"
    assert default_name(f"https://me:{SECRET}@host/lists/list.csv?sig={SECRET}") == "list.csv.h5"
    assert words_of({"root": f"https://me:{SECRET}@host/a"}) == ["--root", "https://host/a"]


# What users get wrong, and what goes wrong


def test_a_bucket_that_is_none(object_store):
    with pytest.raises(NotFoundError, match="there is no bucket 'no-such-bucket'"):
        open_source("s3://no-such-bucket/photos")
    assert "there is nothing at 's3://images/none'" in message(lambda: open_source("s3://images/none"))
    assert "no address of s3://" in message(lambda: open_source("s3://"))
    assert "cannot be read" in message(lambda: open_source("s3://images/none.csv"))


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_one_message(status, bucket, troubled):
    source = open_source(bucket)
    trouble = troubled()
    trouble.status["images"] = status
    with pytest.raises(NotAllowedError, match="not the right credentials"):
        open_source(bucket)
    assert len(trouble.asked) == 1
    trouble.status = {"red/": status}
    assert "red/000.png' may not be read" in message(lambda: scan_source(source, rehash=True))


def test_without_credentials_access_is_anonymous(bucket, troubled, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert len(open_source(bucket).rows) == 40
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "credentials" in message(lambda: open_source(bucket))


def test_a_store_that_stays_broken_ends_after_a_few_attempts(bucket, troubled, monkeypatch):
    monkeypatch.setattr("data.stores.remote._FIRST_WAIT", 0.001)
    source = open_source(bucket)
    trouble = troubled()
    trouble.status["blue/003.png"] = 503
    text = message(lambda: scan_source(source, rehash=True))
    assert "'s3://images/photos/blue/003.png' cannot be read" in text and "8 times" in text
    assert sum("blue/003.png" in path for path in trouble.images_read()) == 8


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no.such.host.invalid"])
def test_a_host_that_does_not_answer(address, object_store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    started = time.monotonic()
    for place in ("s3://images/photos", f"{address}/photos", f"{address}/list.csv"):
        assert "no answer" in message(lambda place=place: open_source(place))
    assert time.monotonic() - started < 20


def test_an_extra_that_is_missing(monkeypatch):
    from data.stores import filesystems

    filesystems._made.cache_clear()
    for module, place, words in [
        ("s3fs", "s3://bucket", "pip install '.[stores]'"),
        ("aiohttp", "https://host/x", "pip install '.[stores]'"),
        ("gcsfs", "gs://bucket", "pip install fsspec gcsfs"),
        ("huggingface_hub", "hf://datasets/a/b", "pip install fsspec huggingface_hub"),
    ]:
        monkeypatch.setitem(sys.modules, module, None)
        assert words in message(lambda place=place: open_source(place))


def test_what_is_not_read_where_it_lies(object_store, bucket):
    assert "download it" in message(lambda: open_source(f"{bucket}/a.npz"))
    assert source_kind("https://host/list.csv?version=3") == "csv"


def test_labels_in_columns_of_classes_are_not_lost_in_silence(object_store, tmp_path):
    (tmp_path / "train").mkdir()
    shutil.copy(draw_images(tmp_path / "drawn", each=1) / "red" / "000.png", tmp_path / "train" / "1.png")
    shutil.rmtree(tmp_path / "drawn")
    (tmp_path / "train" / "_classes.csv").write_text("filename,red,blue\n1.png,1,0\n")
    place = fill(object_store, "roboflow", tmp_path)
    assert "has its labels in _classes.csv" in message(lambda: open_source(place))


# Answers that are not what they seem


class Odd(Web):
    """Sends half of `half.png` and closes, a page of a login for `page.png`, and leads in circles."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        if "half" in self.path:
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif "circle" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "page" in self.path:
            page = b"<!doctype html><title>Sign in</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            super().do_GET()


@pytest.fixture
def odd(drawn, tmp_path):
    for name in ("half", "circle", "page", "whole"):
        shutil.copy(drawn / "red" / "000.png", tmp_path / f"{name}.png")
    handler = type("OddHere", (Odd,), {"asked": []})
    with serving(partial(handler, directory=str(tmp_path))) as address:
        yield address, handler.asked


def test_half_an_object_is_asked_for_again_and_is_no_broken_image(odd, monkeypatch):
    monkeypatch.setattr("data.stores.remote._FIRST_WAIT", 0.001)
    address, asked = odd
    half, whole = read([f"{address}/half.png", f"{address}/whole.png"])
    assert isinstance(half, StoreError) and isinstance(whole, bytes)
    size = len(whole)
    assert f"{address}/half.png" in str(half) and f"{size // 2} of {size} bytes, 8 times" in str(half)
    assert asked.count("/half.png") == 8


def test_a_web_page_for_an_image_is_named(odd, tmp_path):
    address, asked = odd
    (tmp_path / "list.csv").write_text(f"path,label\n{address}/page.png,red\n{address}/whole.png,red\n")
    scan = scan_source(open_source(tmp_path / "list.csv"))
    [reason] = scan.unreadable.values()
    assert "sent a web page" in reason and "a login or a token may be missing" in reason
    assert asked.count("/page.png") == 1


def test_a_redirect_in_circles_ends_at_once(odd):
    address, _ = odd
    [error] = read([f"{address}/circle.png"])
    assert "TooManyRedirects" in str(error) and "times" not in str(error)


def test_a_stamp_is_of_the_bytes_that_were_read(object_store, drawn, monkeypatch):
    place = fill(object_store, "replaced", drawn)
    source = open_source(place)
    listed = source.stamps()
    new = (drawn / "blue" / "009.png").read_bytes()
    put(object_store, f"{place}/red/003.png", new)
    monkeypatch.setattr(type(source), "stamps", lambda self: listed)
    first = scan_source(source).digests
    monkeypatch.undo()
    assert scan_source(source).digests == first and source.stamps() != listed
    put(object_store, f"{place}/red/003.png", (drawn / "red" / "003.png").read_bytes())
    assert scan_source(source).digests != first


def test_keys_that_no_path_can_have_are_told(object_store, drawn):
    data = (drawn / "red" / "000.png").read_bytes()
    fill(object_store, "slashes", drawn / "red", "dd/dog/")
    put(object_store, "s3://slashes/dd/cat//a.png", data)
    source = open_source("s3://slashes/dd")
    assert source.warnings == ("1 folder whose name is empty, . or .. passed over: cat//",)
    assert len(source.rows) == 20


def test_an_object_of_the_name_of_the_folder_is_told(object_store, drawn):
    place = fill(object_store, "twice", drawn, "obj.png/")
    assert open_source(place).warnings == ()
    put(object_store, place, (drawn / "red" / "000.png").read_bytes())
    assert open_source(place).warnings == ("1 object of the folder's own name passed over: obj.png",)


def test_refusals_say_what_was_missing(bucket, drawn, monkeypatch):
    with web(drawn.parent, f"me:{SECRET}") as address:
        words = message(lambda: open_source(f"{address}/images"))
        assert "the address holds no login" in words and "401 Unauthorized" in words and ".netrc" in words
    assert "AWS" not in message(lambda: open_source("http://127.0.0.1:9/images"))
    words = message(lambda: open_source("s3://images/none.csv"))
    assert "check the address" in words and "mend" not in words
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with serving(Denying) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for place in ("s3://images/photos", "s3://images/list.csv"):
            words = message(lambda place=place: open_source(place))
            assert "no AWS credentials were found, access was anonymous" in words
            assert "403 AccessDenied" in words and "~/.aws/credentials" in words


class Denying(Web):
    """An object store that knows nobody."""

    def do_GET(self):
        data = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_other_schemes_are_told_which_there_are():
    for place in (f"ftp://me:{SECRET}@host/x", "htps://host/list.csv"):
        words = message(lambda place=place: open_source(place))
        assert "s3://, gs://, hf://, https://, http://" in words and SECRET not in words


# Credentials


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"https://me:{SECRET}@host/a", "https://host/a"),
        (f"https://host/a?X-Amz-Signature={SECRET}&X-Amz-Date=1", "https://host/a"),
        (f"https://host/a?sv=2024&sig={SECRET}", "https://host/a"),
        (f"http://host:80/a/?access_token={SECRET}#x", "http://host:80/a"),
        (f"https://host/a?{SECRET}token", "https://host/a"),
        ("https://host/a?id=7", "https://host/a?id=7"),
        ("s3://bucket/a?b#c%20", "s3://bucket/a?b#c%20"),
        ("photos/", "photos/"),
    ],
)
def test_what_is_shown_of_an_address(text, clean):
    assert shown(text) == clean
    if "://" in text:
        assert SECRET not in repr(Url.of(text))


def test_credentials_in_the_address_of_a_bucket_are_refused_and_not_repeated():
    assert SECRET not in message(lambda: open_source(f"s3://me:{SECRET}@bucket/photos"))


@pytest.mark.parametrize("kind", ["login", "token"])
def test_credentials_are_nowhere(kind, drawn, tmp_path, cache):
    asks = f"me:{SECRET}" if kind == "login" else f"?token={SECRET}"
    with web(drawn.parent, asks) as address:
        host = address.removeprefix("http://")
        login, query = (f"me:{SECRET}@", "") if kind == "login" else ("", f"?token={SECRET}")
        (tmp_path / "list.csv").write_text(
            f"path,label\nhttp://{login}{host}/images/red/000.png{query},red\n"
            f"http://{login}{host}/images/blue/000.png{query},blue\n"
        )
        said = ""
        recipe = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32", "--json")
        for source, name in ((f"http://{login}{host}/images{query}", "images"), ("list.csv", "list")):
            done = run_command("extract", "run", source, "-o", f"{name}.h5", *recipe, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            said += done.stdout + done.stderr
        wrong = f"http://{login.replace('me', 'you')}{host}/images{query.replace('token', 'notoken')}"
        refusal = run_command("extract", "run", wrong + "x", *recipe, cwd=tmp_path)
        assert refusal.returncode == 1
        said += refusal.stdout + refusal.stderr
        source = open_source(f"http://{login}{host}/images{query}")
        said += repr(source) + json.dumps(source.describe()) + json.dumps(source.address())
        assert len(list(pickle.loads(pickle.dumps(source)).read(source.rows))) == 40
    assert SECRET not in said
    kept = [path for folder in (tmp_path, cache) for path in folder.rglob("*") if path.is_file()]
    holding = [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert holding == [tmp_path / "list.csv"]
    assert FeatureFile(tmp_path / "list.h5").contents.ids[1] == f"http://{host}/images/red/000.png"
