"""Images in archives: zip and tar files, of folders or as WebDataset's shards; what they may not hold."""

import io
import json
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from image_files import labels_by_id, png, refusal, save

from data import open_source
from data.sources.source import source_kind
from data.testing.source import SourceContract

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
TWELVE = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(6)]


def zipped(path: Path, *names: str, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", **how) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number) if name.endswith(".png") else "x")
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def samples(first: int, count: int, **sides) -> dict[str, bytes]:
    """Return files as WebDataset names them; each side is a function from number to text."""
    files = {}
    for number in range(first, first + count):
        files[f"{number:06d}.png"] = png(number)
        files |= {f"{number:06d}.{name}": make(number).encode() for name, make in sides.items()}
    return files


class TestZip(SourceContract):
    @pytest.fixture
    def opened(self, tmp_path):
        zipped(tmp_path / "x.zip", *TWELVE, compression=zipfile.ZIP_DEFLATED)
        return lambda: open_source(tmp_path / "x.zip")


class TestTar(SourceContract):
    @pytest.fixture
    def opened(self, tmp_path):
        tarred(tmp_path / "x.tar", {name: png(number) for number, name in enumerate(TWELVE)})
        return lambda: open_source(tmp_path / "x.tar")


class TestShards(SourceContract):
    @pytest.fixture
    def opened(self, tmp_path):
        for shard in range(2):
            files = samples(6 * shard, 6, cls=lambda number: str(number % 3))
            tarred(tmp_path / f"set/train-{shard:03d}.tar", files)
        return lambda: open_source(tmp_path / "set")

    def test_labels_stand_beside_and_splits_in_names(self, source):
        assert source.class_names == ("0", "1", "2") and {row.split for row in source.rows} == {"train"}
        assert source.rows[7].id == "train-001.tar/000007.png" and source.rows[7].label == 1


def test_an_archive_is_read_as_its_folder(tmp_path):
    names = [f"photos/{split}/{name}" for split in ("train", "val") for name in TWELVE]
    folder = open_source(save(tmp_path / "unpacked", *names) / "photos")
    for path in (
        zipped(tmp_path / "x.zip", *names),
        tarred(tmp_path / "x.tar", {name: png(number) for number, name in enumerate(names)}),
    ):
        source = open_source(path)
        assert source.class_names == folder.class_names
        assert [row.split for row in source.rows] == [row.split for row in folder.rows]
        assert [row.id for row in source.rows] == [f"photos/{row.id}" for row in folder.rows]
        assert list(source.read(source.rows)) == list(folder.read(folder.rows))


def test_what_systems_add_is_passed_over(tmp_path):
    path = zipped(
        tmp_path / "x.zip", "a/1.png", "__MACOSX/a/._1.png", "a/.DS_Store", ".hidden/2.png", "a/notes.md"
    )
    source = open_source(path)
    assert [row.id for row in source.rows] == ["a/1.png"]
    assert source.warnings == ("1 file passed over, not named like an image: .md 1",)


def test_a_range_in_braces(tmp_path):
    for shard in range(8, 11):
        tarred(tmp_path / f"s-{shard:02d}.tar", samples(shard, 1, cls=str))
    source = open_source(f"{tmp_path}/s-{{08..10}}.tar")
    assert [row.id for row in source.rows] == [f"s-{shard:02d}.tar/{shard:06d}.png" for shard in range(8, 11)]
    assert source.class_names == ("8", "9", "10")
    assert "missing" in refusal(f"{tmp_path}/s-{{08..11}}.tar")


@pytest.mark.parametrize(
    ("sides", "names"),
    [
        ({"json": lambda number: json.dumps({"label": "ab"[number % 2], "id": 3})}, ("a", "b")),
        ({"txt": lambda number: f"{'xy'[number % 2]}\n"}, ("x", "y")),
        ({"cls": str, "json": lambda number: '{"label": "no"}'}, ("0", "1", "2", "3")),
    ],
)
def test_labels_beside_images(sides, names, tmp_path):
    source = open_source(tarred(tmp_path / "x.tar", samples(0, 4, **sides)))
    assert source.class_names == names and source.warnings == ()


def test_images_without_a_label_beside_are_told(tmp_path):
    files = samples(0, 3, cls=str)
    del files["000001.cls"]
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert labels_by_id(source)["000001.png"] is None
    assert "1 image without a label beside" in source.warnings


def test_fields_of_json_that_are_no_label_are_named(tmp_path):
    files = samples(
        0, 3, json=lambda number: json.dumps({"caption": "a cat", "url": "x"} if number else {"label": 1})
    )
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert any("label, cls, class or class_name: it has caption, url" in each for each in source.warnings)
    empty = samples(0, 3, json=lambda number: json.dumps({"label": None if number else 1}))
    assert not any("it has" in each for each in open_source(tarred(tmp_path / "y.tar", empty)).warnings)


def test_masks_beside_the_image_of_a_sample_are_no_images(tmp_path):
    files = samples(0, 3, cls=str) | {f"{number:06d}.seg.png": png(9) for number in range(3)}
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert [row.id for row in source.rows] == [f"{number:06d}.png" for number in range(3)]
    assert list(source.read(source.rows)) == [png(number) for number in range(3)]
    told = "3 images beside another one of the sample, as 000000.seg.png, left out; --include chooses others"
    assert told in source.warnings
    chosen = open_source(tmp_path / "x.tar", include=["*.seg.png"])
    assert [row.id for row in chosen.rows] == [f"{number:06d}.seg.png" for number in range(3)]
    folders = open_source(
        tarred(tmp_path / "y.tar", {"a/1.png": png(1), "a/1.v2.png": png(2), "b/1.png": png(3)})
    )
    assert len(folders.rows) == 3  # classes are in folders here: a name says nothing


@pytest.mark.parametrize(
    ("image", "mask"),
    [(".jpg", ".png"), (".image.jpg", ".mask.png"), (".png", ".mask.png")],
)
def test_which_image_of_a_sample_is_its_photograph(image, mask, tmp_path):
    files = {}
    for number in range(4):
        files |= {
            f"{number}{mask}": png(9),
            f"{number}{image}": png(number),
            f"{number}.cls": b"%d" % (number % 2),
        }
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert {row.id for row in source.rows} == {f"{number}{image}" for number in range(4)}


def test_why_files_beside_say_no_label(tmp_path):
    values = ['{"label": ["cat", "pet"]}', '{"label": "cat', '{"label": "dog"}']
    source = open_source(tarred(tmp_path / "x.tar", samples(0, 3, json=lambda number: values[number])))
    assert labels_by_id(source) == {"000000.png": None, "000001.png": None, "000002.png": "dog"}
    told = "1 file beside, as {}, without a label: it {}"
    assert told.format("000000.json", "has a list as its label") in source.warnings
    assert told.format("000001.json", "is no JSON") in source.warnings


def test_captions_are_asked_about(tmp_path):
    captions = samples(0, 12, txt=lambda number: f"a photo of cat {number}")
    source = open_source(tarred(tmp_path / "x.tar", captions))
    assert "12 different labels of 12 images: are they names or captions?" in source.warnings


def test_files_beside_that_overrule_folders_are_told(tmp_path):
    files = {
        f"{name}/{number}.{end}": data
        for name in ("cat", "dog")
        for number in range(2)
        for end, data in (("png", png(number)), ("cls", b"%d" % number))
    }
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert source.class_names == ("0", "1")
    assert "labels are those beside the images; folders say no class: cat, dog" in source.warnings


def test_labels_beside_names_with_dots(tmp_path):
    files = {
        f"im.{number}.{end}": data
        for number in range(4)
        for end, data in (("png", png(number)), ("cls", b"%d" % (number % 2)))
    }
    assert labels_by_id(open_source(tarred(tmp_path / "x.tar", files)))["im.3.png"] == "1"


def test_a_tar_file_without_an_end_is_told(tmp_path):
    path = tarred(tmp_path / "x.tar", {name: png(1) for name in TWELVE})
    assert open_source(path).warnings == ()
    path.write_bytes(path.read_bytes()[: 6 * 1024])
    source = open_source(path)
    assert len(source.rows) == 6
    assert source.warnings == (
        f"{str(path)!r} has no mark at its end, as one that was cut between two files",
    )


def test_a_folder_of_a_split_in_one_of_its_name(tmp_path):
    names = [f"{split}/{split}/{name}" for split in ("training_set", "test_set") for name in TWELVE]
    for source in (
        open_source(zipped(tmp_path / "x.zip", *names)),
        open_source(save(tmp_path / "x", *names)),
    ):
        assert source.class_names == ("cat", "dog") and {row.split for row in source.rows} == {
            "train",
            "test",
        }
        assert "training_set/training_set/cat/0.png" in {row.id for row in source.rows}


def test_gaps_in_the_numbers_of_shards_are_told(tmp_path):
    for shard in (0, 1, 3):
        tarred(tmp_path / f"set/train-{shard:03d}.tar", samples(shard, 1, cls=str))
    assert "1 file missing, by the numbers of others: train-002.tar" in open_source(tmp_path / "set").warnings
    for year in (1999, 2024):
        tarred(tmp_path / f"years/photos-{year}.tar", samples(1, 1, cls=str))
    assert open_source(tmp_path / "years").warnings == ()


def test_patterns_and_groups_in_names(tmp_path):
    path = tarred(tmp_path / "x.tar", samples(0, 6, cls=lambda number: str(number % 2)))
    source = open_source(path, exclude=["*5.png"], group_regex="00000([0-4])")
    assert [row.group for row in source.rows] == list("01234")
    again = open_source(**source.address())
    assert again.rows == source.rows


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/x.png", "C:\\x.png", "..\\x.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(name, kind, tmp_path):
    if kind == "zip":
        path = zipped(tmp_path / "x.zip", "a/1.png", name)
    else:
        path = tarred(tmp_path / "x.tar", {"a/1.png": png(0), name: png(1)})
    told = refusal(path)
    assert "leads out" in told and "do not trust" in told


def test_a_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(10_000_000))
    assert "unpacks to far more" in refusal(tmp_path / "x.zip")


def test_a_table_of_contents_that_lies_unpacks_no_more_than_it_says(tmp_path):
    path = zipped(tmp_path / "x.zip", "a/1.png", "a/2.png")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(300_000))
        archive.writestr("a/2.png", png(1))
    data = path.read_bytes()
    path.write_bytes(data.replace((300_000).to_bytes(4, "little"), (3_000).to_bytes(4, "little")))
    source = open_source(path)
    tracemalloc.start()
    first, second = source.read(source.rows)
    assert isinstance(first, OSError) or len(first) <= 3_000
    assert second == png(1) and tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_cut_archive_is_one_message(kind, tmp_path):
    path = zipped(tmp_path / "x.zip", *TWELVE)
    if kind == "tar":
        path = tarred(tmp_path / "x.tar", {name: png(number) * 20 for number, name in enumerate(TWELVE)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cannot be read as an archive" in refusal(path)


def test_images_that_are_cut_off_later_cannot_be_read(tmp_path):
    path = tarred(tmp_path / "x.tar", {name: png(number) * 20 for number, name in enumerate(TWELVE)})
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:4000])
    found = list(source.read(source.rows))
    assert isinstance(found[0], bytes) and isinstance(found[-1], OSError)


@pytest.mark.parametrize("how", METHODS)
def test_zip_files_of_every_method_also_behind_a_program(how, tmp_path):
    path = zipped(tmp_path / "x.zip", *TWELVE, compression=how)
    path.write_bytes(b"#!/bin/sh unpacks itself" + path.read_bytes())
    source = open_source(path)
    assert list(source.read(source.rows)) == [png(number) for number in range(12)]


@pytest.mark.parametrize("how", METHODS[:2])
@pytest.mark.parametrize("place", ["header", "content"])
def test_a_damaged_member_of_a_zip_file_loses_no_other(how, place, tmp_path):
    path = zipped(tmp_path / "x.zip", *TWELVE, compression=how)
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[5].header_offset + (0 if place == "header" else 60)
    content = bytearray(path.read_bytes())
    content[start : start + 4] = bytes(4)
    path.write_bytes(content)
    source = open_source(path)
    found = list(source.read(source.rows))
    assert [number for number, data in enumerate(found) if isinstance(data, OSError)] == [5]


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_an_archive_that_is_packed_as_a_whole_is_refused_with_what_to_do(mode, tmp_path):
    path = tarred(tmp_path / f"x.tar.{mode}", {"a/1.png": png(0)}, f"w:{mode}")
    assert "packed as a whole" in refusal(path) and "unpack" in refusal(path)


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", "a/1.png")
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(bytes(data))
    assert "encrypted" in refusal(path)


def test_no_images_and_no_archive(tmp_path):
    assert "no images were found" in refusal(zipped(tmp_path / "x.zip", "a.txt"))
    (tmp_path / "y.zip").write_bytes(b"<html>not found</html>")
    assert "cannot be read as an archive" in refusal(tmp_path / "y.zip")


def test_a_folder_of_tar_files_alone_is_shards(tmp_path):
    tarred(tmp_path / "set/a.tar", samples(0, 2))
    assert source_kind(str(tmp_path / "set")) == "archive"
    save(tmp_path / "set", "b/1.png")
    assert source_kind(str(tmp_path / "set")) == "folder"
    shutil.rmtree(tmp_path / "set")
    (tmp_path / "set").mkdir()
    assert source_kind(str(tmp_path / "set")) == "folder"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_files_of_every_form(form, tmp_path):
    files = {name: png(number) for number, name in enumerate(TWELVE)}
    files |= {f"dog/{'long' * 20}/{'name' * 20}.png": png(20), "cat/café.png": png(21), "cat/empty.png": b""}
    with tarfile.open(tmp_path / "x.tar", "w", format=form, pax_headers={"comment": "x"}) as archive:
        for name, data in [("cat/0.png", b"before"), *files.items()]:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 0.5 if form == tarfile.PAX_FORMAT else 0
            archive.addfile(info, io.BytesIO(data))
        archive.addfile(link := tarfile.TarInfo("dog/link.png"))
        link.type, link.linkname = tarfile.SYMTYPE, "dog/0.png"
        archive.addfile(link)
    found = open_source(tmp_path / "x.tar")
    read = dict(zip((row.id for row in found.rows), found.read(found.rows), strict=True))
    assert read == files | {"dog/link.png": b""}


def test_a_header_that_is_no_more_what_it_was_is_damage(tmp_path):
    path = tarred(tmp_path / "x.tar", {name: png(number) for number, name in enumerate(TWELVE)})
    data = bytearray(path.read_bytes())
    data[data.index(b"dog/3.png")] = ord("h")
    path.write_bytes(data)
    assert "cannot be read as an archive" in refusal(path)


def test_names_of_no_encoding_are_escaped(tmp_path):
    names = [f"{kind}/caf\udce9{number}.png" for kind in ("cat", "dog") for number in range(2)]
    for path in (
        tarred(tmp_path / "x.tar", {name: png(number) for number, name in enumerate(names)}),
        tarred(tmp_path / "y.tar", {f"top/{name}": png(number) for number, name in enumerate(names)}),
    ):
        found = open_source(path)
        assert [row.id.removeprefix("top/") for row in found.rows] == [
            name.replace("\udce9", r"\udce9") for name in names
        ]
        assert list(found.read(found.rows)) == [png(number) for number in range(4)]
        assert "4 file names are not UTF-8" in found.warnings[0]


def test_archives_of_one_name_are_told_apart(tmp_path):
    for number in range(2):
        tarred(tmp_path / f"part{number}/x.tar", {f"cat/{n}.png": png(10 * number + n) for n in range(3)})
    found = open_source(f"{tmp_path}/part{{0..1}}/x.tar")
    assert [row.id for row in found.rows] == [
        f"part{p}/x.tar/cat/{n}.png" for p in range(2) for n in range(3)
    ]
    assert list(found.read(found.rows))[3] == png(10)


@pytest.mark.parametrize("form", [["gnu"], ["posix", "0.0"], ["posix", "0.1"], ["posix", "1.0"]])
def test_images_with_holes_are_refused(form, tmp_path):
    with (save(tmp_path, "cat/1.png") / "cat/1.png").open("ab") as file:
        file.truncate(1_000_000)
    versions = [f"--sparse-version={version}" for version in form[1:]]
    command = ["tar", "-S", f"--format={form[0]}", *versions, "-cf", "x.tar", "cat"]
    try:
        subprocess.run(command, cwd=tmp_path, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs GNU tar")
    if (tmp_path / "x.tar").stat().st_size > 500_000:
        pytest.skip("this file system keeps no holes")
    assert "holes" in refusal(tmp_path / "x.tar") and "--sparse" in refusal(tmp_path / "x.tar")


def test_links_in_a_tar_file_are_the_files_that_they_lead_to(tmp_path):
    links = {
        "dog/hard.png": (tarfile.LNKTYPE, "./cat/0.png"),
        "dog/soft.png": (tarfile.SYMTYPE, "../cat/1.png"),
        "dog/chain.png": (tarfile.SYMTYPE, "soft.png"),
        "dog/gone.png": (tarfile.SYMTYPE, "/elsewhere/1.png"),
    }
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for number in range(2):
            info = tarfile.TarInfo(f"./cat/{number}.png")
            info.size = len(png(number))
            archive.addfile(info, io.BytesIO(png(number)))
        for name, (kind, target) in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    source = open_source(tmp_path / "x.tar")
    read = dict(zip((row.id for row in source.rows), source.read(source.rows), strict=True))
    assert read == {
        "cat/0.png": png(0),
        "cat/1.png": png(1),
        "dog/chain.png": png(1),
        "dog/hard.png": png(0),
        "dog/soft.png": png(1),
    }
    assert any("1 link" in line and "dog/gone.png" in line for line in source.warnings)


def test_a_tar_file_behind_another_is_read(tmp_path):
    parts = [tarred(tmp_path / f"{kind}.tar", {f"{kind}/1.png": png(1)}) for kind in ("cat", "dog")]
    path = tmp_path / "x.tar"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = open_source(path)
    assert labels_by_id(source) == {"cat/1.png": "cat", "dog/1.png": "dog"} and source.warnings == ()
    path.write_bytes(parts[0].read_bytes() + b"signature" * 100)
    assert "behind its end" in open_source(path).warnings[0]


def test_names_that_are_there_twice_are_counted(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(tmp_path / "x.zip", "cat/1.png", "dog/1.png", "cat/1.png")
    source = open_source(tmp_path / "x.zip")
    assert "1 file in" in source.warnings[0] and source.warnings[0].endswith("the first: cat/1.png")
    assert list(source.read(source.rows)) == [png(2), png(1)]


def without_flag(path: Path, *names: bytes, extra: bytes = b"") -> Path:
    """Write a zip file whose names are bytes, as old programs write them."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(name.decode("cp437").encode("ascii", "replace").decode())
            info.extra = extra
            archive.writestr(info, png(number))
    data = path.read_bytes()
    for name in names:
        data = data.replace(name.decode("cp437").encode("ascii", "replace"), name)
    path.write_bytes(data)
    return path


def test_names_in_zip_files_without_the_flag_of_utf8(tmp_path):
    raw = "Äpfel/1.png".encode()
    assert open_source(without_flag(tmp_path / "x.zip", raw)).class_names == ("Äpfel",)
    raw = b"\x8epfel/1.png"
    source = open_source(without_flag(tmp_path / "x.zip", raw))
    assert source.class_names == ("Äpfel",) and "1 name" in source.warnings[0]
    name = struct.pack("<BL", 1, zlib.crc32(raw)) + "Яблоко/1.png".encode()
    extra = struct.pack("<HH", 0x7075, len(name)) + name
    source = open_source(without_flag(tmp_path / "x.zip", raw, extra=extra))
    assert source.class_names == ("Яблоко",) and source.warnings == ()
    assert list(source.read(source.rows)) == [png(0)]


def test_backslashes_in_zip_files_stand_between_folders(tmp_path):
    source = open_source(zipped(tmp_path / "x.zip", "cat\\1.png", "dog\\1.png"))
    assert labels_by_id(source) == {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert list(source.read(source.rows)) == [png(0), png(1)]


def test_labels_beside_hold_also_where_the_first_image_has_none(tmp_path):
    files = samples(0, 4, cls=str)
    del files["000000.cls"]
    assert open_source(tarred(tmp_path / "x.tar", files)).class_names == ("1", "2", "3")
    files = {name: png(number) for number, name in enumerate(TWELVE)} | {"cat/1.txt": b"a note"}
    source = open_source(tarred(tmp_path / "x.tar", files))
    assert source.class_names == ("cat", "dog") and "1 image of 12" in source.warnings[0]


def test_labels_beside_in_capitals(tmp_path):
    source = open_source(tarred(tmp_path / "x.tar", {"1.PNG": png(1), "1.CLS": b"cat"}))
    assert labels_by_id(source) == {"1.PNG": "cat"}


def test_folders_in_several_tar_files_are_classes(tmp_path):
    for number, kind in enumerate(("train", "test")):
        files = {"cat/1.png": png(number), "dog/1.png": png(number + 2)}
        tarred(tmp_path / f"split/{kind}.tar", files)
        tarred(tmp_path / f"plain/{number}.tar", {f"pets/{name}": data for name, data in files.items()})
    splits, plain = open_source(tmp_path / "split"), open_source(tmp_path / "plain")
    assert splits.class_names == plain.class_names == ("cat", "dog")
    assert {(row.id, row.label, row.split) for row in splits.rows} == {
        (f"{kind}.tar/{name}/1.png", label, kind)
        for kind in ("train", "test")
        for label, name in enumerate(("cat", "dog"))
    }
    assert sorted(row.id for row in plain.rows) == [
        f"{number}.tar/pets/{name}/1.png" for number in (0, 1) for name in ("cat", "dog")
    ]
    assert {row.split for row in plain.rows} == {None} and not splits.warnings
    (held,) = splits.read([next(row for row in splits.rows if row.id == "test.tar/dog/1.png")])
    assert held == png(3)


def test_tar_files_without_folders_are_classes_or_shards(tmp_path):
    for number in range(2):
        tarred(tmp_path / f"inet/n0144076{number}.tar", {f"{number}_1.png": png(number)})
        tarred(tmp_path / f"bare/set-{number:03d}.tar", {"1.png": png(number)})
        tarred(tmp_path / f"named/val-{number:03d}.tar", {"1.png": png(number)})
    assert open_source(tmp_path / "inet").class_names == ("n01440760", "n01440761")
    bare, named = open_source(tmp_path / "bare"), open_source(tmp_path / "named")
    assert [row.label for row in (*bare.rows, *named.rows)] == [-1] * 4
    assert {row.split for row in named.rows} == {"validation"}


def test_patterns_see_the_names_of_several_tar_files(tmp_path):
    for number in range(2):
        tarred(tmp_path / f"set/{number}.tar", {"cat/v1_1.png": png(number), "dog/v2_1.png": png(number + 2)})
    source = open_source(tmp_path / "set", group_regex=r"^([01])\.tar/", exclude=["1.tar/dog/*"])
    assert [(row.id, row.group) for row in source.rows] == [
        ("0.tar/cat/v1_1.png", "0"),
        ("1.tar/cat/v1_1.png", "1"),
        ("0.tar/dog/v2_1.png", "0"),
    ]
