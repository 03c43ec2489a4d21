"""What lies in a folder of images: one walk and one table of names for every command that is given one."""

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import HeadstartError, unreadable
from data.output.drawn import Drawn
from data.output.ours import kind_of_output
from data.splits import is_split
from data.stores.files import paths_below, stamps
from data.stores.remote import NO_NAMES
from data.stores.urls import Url, is_url
from data.text import counted, printable, some_of

_SUFFIXES = "avif bmp gif jfif jp2 jpe jpeg jpg mpo pbm pgm png pnm ppm tga tif tiff webp"
IMAGE_SUFFIXES = frozenset("." + suffix for suffix in _SUFFIXES.split())
_HIDDEN = "."
_HEIC = {".heic", ".heif", ".hif"}
_NO_HEIC = "HEIC images are not read: Pillow has no decoder for them; convert them to JPEG"
SYSTEM_FOLDERS = frozenset(  # of archives, file servers and file systems, in lower case
    (
        "__macosx",
        *("$recycle.bin", "system volume information", "found.000"),  # Windows
        *("lost+found", "~snapshot"),  # ext4, NetApp
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb"),  # QNAP
        *("network trash folder", "temporary items"),  # AFP
    )
)
_MARKS = frozenset(("bundle.json", "benchmark.json", "run.json"))  # files in folders of ours; or any .h5
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")  # of images of any name
_ABOVE = ("link", "to a folder above it ")
_AGAIN = ("link", "to a folder that is read already ")
_NOWHERE = ("link", "to nothing ")
_SPECIAL = ("pipe or device", "")
UNNAMED = ("folder", "whose name is empty, . or .. ")  # of a store: keys with // in them
_SAME_NAME = ("object", "of the folder's own name ")
_NOT_ENTERED = ("hidden", "system")
_KINDS_NAMED = 8


def role(name: str) -> str:
    """Return what a folder's name makes of it: ``hidden``, ``system``, ``split`` or ``class``.

    One that may be a split or a class is Headstart's own output where its content says so, see
    `data.output.ours.kind_of_output`.

    Examples
    --------
    >>> [role(name) for name in (".git", "@eaDir", "Valid", "cat")]
    ['hidden', 'system', 'split', 'class']
    """
    if name.startswith(_HIDDEN):
        return "hidden"
    if name.lower() in SYSTEM_FOLDERS:
        return "system"
    return "split" if is_split(name) else "class"


@dataclass(frozen=True)
class Tree:
    """What was found below a folder; all paths are relative to it.

    Attributes
    ----------
    root : str
        Empty where it is no folder of this machine.
    images : list of str
        Files named like images, in no order.
    folders : list of str
        Those that were read, the root aside.
    others : list of str
        Files that are not named like images.
    system, ours : Counter of str
        Folders of the system and outputs of Headstart that were passed over, by kind.
    odd : dict of str to (str, str)
        Links that are not followed and what is no file: what it is.
    """

    root: str
    images: list[str] = field(default_factory=list, repr=False)
    folders: list[str] = field(default_factory=list, repr=False)
    others: list[str] = field(default_factory=list, repr=False)
    system: Counter = field(default_factory=Counter)
    ours: Counter = field(default_factory=Counter)
    odd: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    def warnings(self) -> list[str]:
        """Return a line for each kind of thing that was passed over, with its number."""
        lines = passed_over(self.others, self.root)
        if self.system:
            number = counted(self.system.total(), "system folder")
            lines.append(f"{number} passed over: {_by_kind(self.system)}")
        if self.ours:
            number = counted(self.ours.total(), "output")
            lines.append(f"{number} of Headstart passed over: {_by_kind(self.ours)}")
        for kind, count in Counter(self.odd.values()).items():
            names = sorted(printable(path) for path, found in self.odd.items() if found == kind)
            lines.append(f"{counted(count, kind[0])} {kind[1]}passed over: {some_of(names)}")
        return lines


def read_tree(root: str | Path) -> Tree:
    """List what lies below a folder, however deep.

    Hidden files and folders are passed over, those of the system and our own outputs too. Links
    are followed, never in circles: a folder is read once, at its own place if that is below the
    root. In an object store nothing is opened, so that outputs of ours are not known there.

    Raises
    ------
    HeadstartError
        If a folder cannot be listed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "1.jpg").touch()
    ...     read_tree(folder).images
    ['1.jpg']
    """
    if is_url(os.fspath(root)):
        return _tree_of_store(os.fspath(root))
    walk = _Walk(os.fspath(root))
    walk.below("")
    walk.follow_links()
    if walk.failed:
        raise unreadable(repr(walk.tree.root), walk.failed, " or ".join(sorted(walk.nouns)))
    walk.drawn.keep()
    return walk.tree


def _tree_of_store(root: str) -> Tree:
    tree = Tree("")
    for path, is_folder in paths_below(root, lambda path: role(os.path.basename(path)) not in _NOT_ENTERED):
        kind = role(os.path.basename(path))
        if is_folder and os.path.basename(path) in NO_NAMES:
            tree.odd[f"{path}/"] = UNNAMED
        elif is_folder and kind == "system":
            tree.system[printable(os.path.basename(path))] += 1
        elif is_folder and kind != "hidden":
            tree.folders.append(path)
        elif not is_folder and not os.path.basename(path).startswith(_HIDDEN):
            (tree.images if _suffix(path) in IMAGE_SUFFIXES else tree.others).append(path)
    url = Url.of(root)
    if (
        url.path and not url.is_web and (stamp := stamps([root])[0]) and stamp.size
    ):  # a mark of a folder is empty
        tree.odd[url.name] = _SAME_NAME
    return tree


class _Walk:
    def __init__(self, root: str) -> None:
        self.tree, self.drawn = Tree(root), Drawn(root)
        self.failed: dict[str, str] = {}
        self.nouns: set[str] = set()  # of what failed: an entry of a folder may be either
        self._links: list[str] = []
        self._seen: set[tuple[int, int]] = set()

    def below(self, start: str) -> None:
        """Read a folder and those in it."""
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                waiting += self._read(folder, linked=bool(start))
            except HeadstartError:
                raise
            except OSError as error:
                self._fail(folder, error, {"folder"})

    def follow_links(self) -> None:
        """Read the folders that links lead to, after those that lie here."""
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                if self._leads_up(link):
                    self.tree.odd[link] = _ABOVE
                else:
                    self.below(link)

    def _leads_up(self, link: str) -> bool:
        target = os.path.realpath(os.path.join(self.tree.root, link))
        places = (self.tree.root, os.path.join(self.tree.root, os.path.dirname(link)))
        return any(os.path.commonpath([target, os.path.realpath(place)]) == target for place in places)

    def _fail(self, path: str, error: OSError, nouns: set[str]) -> None:
        """Note what cannot be read; what vanished while we were reading is not there."""
        if error.errno == errno.ELOOP:
            self.tree.odd[path] = _NOWHERE
        elif not path or error.errno not in (errno.ENOENT, errno.ENOTDIR):
            self.failed[printable(path) or "the folder itself"] = error.strerror or str(error)
            self.nouns |= nouns

    def _read(self, folder: str, linked: bool) -> list[str]:
        """List a folder, and return the folders in it."""
        place = os.path.join(self.tree.root, folder)
        found = os.stat(place)
        if linked and (found.st_dev, found.st_ino) in self._seen:
            self.tree.odd[folder] = _AGAIN
            return []
        self._seen.add((found.st_dev, found.st_ino))
        with os.scandir(place) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(_HIDDEN)]
        if folder and self._is_ours(place, entries):
            return []
        if folder:
            self.tree.folders.append(folder)
        subfolders: list[str] = []
        files: list[str] = []
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                else:
                    self._place(os.path.join(folder, entry.name), entry, subfolders, files)
            except HeadstartError:
                raise
            except OSError as error:
                self._fail(os.path.join(folder, entry.name), error, {"file", "folder"})
        self._keep_files(folder, files)
        return subfolders

    def _is_ours(self, place: str, entries: list[os.DirEntry]) -> bool:
        marked = any(entry.name in _MARKS or entry.name.endswith(".h5") for entry in entries)
        kind = kind_of_output(place) if marked else None
        if kind:
            self.tree.ours[kind] += 1
        return bool(kind)

    def _place(self, path: str, entry: os.DirEntry, subfolders: list[str], files: list[str]) -> None:
        """Sort what is no plain file; a broken link named like an image is one that cannot be read."""
        if entry.is_dir():
            self._place_folder(path, entry, subfolders)
        elif entry.is_file() or (entry.is_symlink() and _suffix(path) in IMAGE_SUFFIXES):
            files.append(entry.name)
        else:
            self.tree.odd[path] = _NOWHERE if entry.is_symlink() else _SPECIAL

    def _place_folder(self, path: str, entry: os.DirEntry, subfolders: list[str]) -> None:
        if role(entry.name) == "system":
            self.tree.system[printable(entry.name)] += 1
        elif entry.is_symlink():
            self._links.append(path)
        else:
            subfolders.append(path)

    def _keep_files(self, folder: str, names: list[str]) -> None:
        images: list[str] = []
        others: list[str] = []
        for name in names:
            (images if _suffix(name) in IMAGE_SUFFIXES else others).append(name)
        drawn = self.drawn.among(folder, images)
        self.tree.ours.update(["figure"] * len(drawn))
        before = os.path.join(folder, "")
        self.tree.images.extend([before + name for name in images if name not in drawn])
        for name in others:
            self._keep_other(before + name)

    def _keep_other(self, path: str) -> None:
        kind = kind_of_output(os.path.join(self.tree.root, path)) if ".h5" in path else None
        if kind:
            self.tree.ours[kind] += 1
        else:
            self.tree.others.append(path)


_SOURCES = (".zip", ".tar", ".parquet", ".npz")


def passed_over(paths: list[str], root: str = "") -> list[str]:
    """Return lines that count files that were not taken for images, and say what may be done.

    Examples
    --------
    >>> passed_over(["cat/notes.txt"])
    ['1 file passed over, not named like an image: .txt 1']
    """
    if not paths:
        return []
    kinds: dict[str, list[str]] = {}
    for path in sorted(paths):
        kinds.setdefault(_suffix(path) or "no suffix", []).append(path)
    counts = Counter({kind: len(found) for kind, found in kinds.items()})
    line = f"{counted(len(paths), 'file')} passed over, not named like an image: {_by_kind(counts)}"
    shown = [kind for kind, _ in counts.most_common(_KINDS_NAMED)]
    images = [kind for kind in shown if root and _is_image(root, kinds[kind][0])]
    if images:
        line += (
            f"; images by their content, which a name as 1.jpg would let in: {printable(', '.join(images))}"
        )
    no_image = kinds.keys() - set(images)
    archives = sum(counts[kind] for kind in _SOURCES)
    told = f"{counted(archives, 'file')} of these of many images each: name them, one by one, to have these"
    return [line, *([told] if archives else []), *([_NO_HEIC] if no_image & _HEIC else [])]


def _by_kind(counts: Counter) -> str:
    named = [f"{kind} {count}" for kind, count in counts.most_common(_KINDS_NAMED)]
    return printable(", ".join(named)) + (", ..." if len(counts) > _KINDS_NAMED else "")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _is_image(root: str, path: str) -> bool:
    try:
        with open(os.path.join(root, path), "rb") as file:
            return file.read(8).startswith(_STARTS)
    except OSError:
        return False
