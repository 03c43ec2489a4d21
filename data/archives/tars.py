"""Lists tar files: names, places, links; those with holes are refused."""

import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from data.archives.contents import Member, Members, checked, suffix_of
from data.errors import HeadstartError
from data.sources.tree import IMAGE_SUFFIXES
from data.text import counted, printable, some_of

_BLOCK = 512  # bytes of a header, and of what each file takes a multiple of
_READ = 1 << 20  # bytes, a multiple of that
_BLANKS = 8 * ord(" ")  # that a header's checksum counts in its own place


def files_of_tar(number: int, file: str, handle: BinaryIO, warnings: list[str]) -> Members:
    """List the files of a tar file; warnings tell of links to nothing in it, and of what is behind it."""
    handle.seek(0)
    if handle.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise HeadstartError(
            f"{file!r} is packed as a whole, so that no image in it can be read by itself",
            "a tar file that is not packed, or a zip file",
            "gzip, bzip2 or xz",
            f"unpack that, which keeps the tar file: gunzip, bunzip2 or unxz {file}",
        )
    links: dict[str, str] = {}
    members = Members(_entries(number, file, handle, links, warnings))
    linked = _followed(links, members.last_of_each(), number)
    if missing := sorted(printable(name) for name in links.keys() - set(linked.names)):
        warnings.append(f"{counted(len(missing), 'link')} in {file!r} to no file in it: {some_of(missing)}")
    members.extend(linked)
    return members


def _entries(
    number: int, file: str, handle: BinaryIO, links: dict[str, str], warnings: list[str]
) -> Iterator[Member]:
    """Yield the files, also those of a tar file that was put behind another; add links to `links`."""
    handle.seek(0)
    with tarfile.open(fileobj=handle, mode="r:") as tar:
        offset, again = 0, False
        while True:
            handle.seek(offset)
            header = handle.read(_BLOCK)
            plain = None if tar.pax_headers else _plain(header)
            if plain:
                yield checked(file, Member(number, plain[0], offset + _BLOCK, plain[1]))
                offset += _BLOCK * (1 - (-plain[1] // _BLOCK))
                again = False
                continue
            each = _by_tarfile(tar, offset)
            if each is None:
                if again:
                    warnings.append(f"{file!r} holds no tar file behind its end: what is there is not read")
                    return
                if not header and not again:
                    warnings.append(f"{file!r} has no mark at its end, as one that was cut between two files")
                if any(header):  # `tarfile` takes damage for the end
                    raise tarfile.ReadError(f"there is no header at byte {offset}")
                offset, again = _behind(handle, offset), True
                if offset < 0:
                    return
                continue
            again = False
            yield from _one(number, file, each, links)
            if tar.offset <= offset:
                raise tarfile.ReadError(f"{each.name} ends before it begins")
            offset = tar.offset


def _one(number: int, file: str, each: tarfile.TarInfo, links: dict[str, str]) -> Iterator[Member]:
    member = (
        checked(file, Member(number, each.name, each.offset_data, each.size)) if not each.isdir() else None
    )
    if member is None:
        return
    if each.islnk() or each.issym():
        folder = posixpath.dirname(member.name) if each.issym() else ""
        links[member.name] = posixpath.normpath(posixpath.join(folder, each.linkname))
        return
    links.pop(member.name, None)
    if each.sparse is not None and suffix_of(each.name) in IMAGE_SUFFIXES:
        raise HeadstartError(
            f"{file!r} holds images with holes, whose bytes do not lie in one piece",
            "a tar file that was written without --sparse",
            each.name,
            "unpack it and read the folder, or write it again without -S or --sparse",
        )
    if each.isreg():
        yield member


def _behind(handle: BinaryIO, offset: int) -> int:
    """Return where the first block behind an offset is that is not zero; -1 where none is."""
    handle.seek(offset)
    while block := handle.read(_READ):
        if rest := block.lstrip(b"\0"):
            return offset + (len(block) - len(rest)) // _BLOCK * _BLOCK
        offset += len(block)
    return -1


def _followed(links: dict[str, str], members: Members, number: int) -> Members:
    """Return links as the files that they lead to, with these one's places."""

    def found() -> Iterator[Member]:
        for name in links:
            target, seen = links[name], {name}
            while target in links and target not in seen:
                seen.add(target)
                target = links[target]
            place = members.names.find(target) if target not in links else -1
            if place >= 0:
                yield replace(members[place], archive=number, name=name)

    return Members(found())


def _by_tarfile(tar: tarfile.TarFile, offset: int) -> tarfile.TarInfo | None:
    """Return the entry of a tar file that begins at an offset; None at its end."""
    tar.fileobj.seek(max(0, offset - 1))  # not there, or a cut is not noticed
    tar.firstmember, tar.offset = None, offset  # type: ignore[attr-defined]
    tar.members.clear()  # type: ignore[attr-defined]  # a million would take a gigabyte
    return tar.next()


def _plain(header: bytes) -> tuple[str, int] | None:
    """Return name and size of a file by its header; None of what `tarfile` has to read.

    That are long names, links and the like, numbers out of the usual, and damage: a checksum is right here
    where the sum of bytes is, of which Adler's holds the remainder.
    """
    name, size, said = header[:100].rstrip(b"\0"), header[124:136], header[148:156]
    if len(header) < _BLOCK or header[156:157] not in (b"0", b"\0") or b"\0" in name or name[-1:] in b"/":
        return None
    if header[257:262] == b"ustar" and header[345:346] != b"\0":  # its beginning stands there
        return None
    try:
        length, wanted = int(size.rstrip(b" \0"), 8), int(said.rstrip(b" \0"), 8)
    except ValueError:
        return None
    found = (zlib.adler32(header) & 0xFFFF) - 1 - sum(said) + _BLANKS
    if length < 0 or (found - wanted) % 65521:
        return None
    return name.decode("utf-8", "surrogateescape"), length
