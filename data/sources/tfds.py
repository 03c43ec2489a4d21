"""TensorFlow Datasets: its names, its split syntax, its ids, its encoded bytes."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from data.errors import HeadstartError, NotFoundError, unknown_name
from data.sources.rows import unique_ids
from data.sources.source import Row, Source
from data.splits import SPLIT_NAMES, is_split, split_name
from data.text import one_line, with_type

if TYPE_CHECKING:  # both take seconds to import
    import tensorflow as tf
    from tensorflow_datasets.core import DatasetBuilder

_GRAMMAR = re.compile(r"tfds:(?P<name>[\w/.\-]+)(:(?P<version>\d+\.\d+\.\d+))?(:(?P<splits>.+))?")
_log = logging.getLogger("headstart.tfds")
_LONGEST_GAP = 64  # unwanted examples that are read rather than starting a new read


@dataclass(frozen=True)
class TfdsSource(Source):
    """Some splits of one prepared data set.

    Attributes
    ----------
    name, version : str
    data_dir : str
        Folder of the prepared data, with the version.
    instructions : tuple of str
        TFDS split instructions.
    class_names : tuple of str
    rows : sequence of Row
        In the order of the instructions; the id is TFDS's own.
    positions : dict of str to (str, int)
        Split and index of each id.
    keys : tuple of str
        Names of the image and the label feature.
    warnings : tuple of str
    """

    name: str
    version: str
    data_dir: str
    instructions: tuple[str, ...]
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    positions: dict[str, tuple[str, int]] = field(repr=False)
    keys: tuple[str, str] = ("image", "label")
    warnings: tuple[str, ...] = ()
    sendable: bool = False  # every node has the prepared data, or none computes

    def describe(self) -> dict:
        splits = list(self.instructions)
        return {"kind": "tfds", "name": self.name, "version": self.version, "splits": splits}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        wanted = [self.positions[row.id] for row in rows]
        for split, positions in _stretches(wanted):
            yield from self._read_stretch(split, positions)

    def portable(self) -> "TfdsSource":
        """Return the source: its data is found by the path."""
        return self

    def address(self) -> dict[str, Any]:
        """Return name, version and splits, and the folder of all prepared data."""
        top = self.name.split("/")[0]
        folder = next(each for each in Path(self.data_dir).absolute().parents if each.name == top)
        text = f"tfds:{self.name}:{self.version}:{','.join(self.instructions)}"
        return {"text": text, "data_dir": str(folder.parent)}

    def _read_stretch(self, split: str, positions: list[int]) -> Iterator[bytes]:
        first, last, image = positions[0], positions[-1], self.keys[0]
        chosen = set(positions)
        examples = _examples(self._builder, f"{split}[{first}:{last + 1}]", image, skip_decoding=True)
        for position, example in enumerate(examples.as_numpy_iterator(), first):
            if position in chosen:
                yield example[image]

    @cached_property
    def _builder(self) -> "DatasetBuilder":
        return _tfds().builder_from_directory(self.data_dir)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_builder"}


def open_tfds(text: str, data_dir: str | Path | None = None) -> TfdsSource:
    """Open ``tfds:NAME[:VERSION][:SPLITS]``; what is prepared is not downloaded again.

    SPLITS are TFDS split instructions between commas. Whole splits keep their names; three
    others become train, validation and test, two become train and test, and the rows of a
    single one have no split.

    Raises
    ------
    HeadstartError
        If the name, a split or an image feature is unknown, if instructions overlap, or the
        data set is neither prepared nor downloadable.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise HeadstartError(
            f"{text!r} is not a TFDS source",
            "tfds:NAME[:VERSION][:SPLITS], as tfds:cats_vs_dogs:train[:80%],train[80%:]",
            text,
            "correct it; put it into quotes, as shells read the brackets",
        )
    builder = _prepared_builder(match["name"], match["version"], data_dir)
    instructions = _split_list(match["splits"]) or _default_splits(builder.info.splits)
    image, label = _image_and_label(builder)
    rows, positions = [], {}
    for instruction, split in zip(instructions, _names(instructions), strict=True):
        for row, position in _rows(builder, instruction, split, label):
            rows.append(row)
            positions[row.id] = position
    names = tuple(builder.info.features[label].names)
    return TfdsSource(
        match["name"],
        str(builder.info.version),
        str(builder.data_path),
        instructions,
        names,
        unique_ids(rows, f"the splits {','.join(instructions)}"),
        positions,
        (image, label),
    )


def _tfds() -> ModuleType:
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise HeadstartError(
            "sources of TFDS need TensorFlow Datasets",
            "the packages tensorflow and tensorflow-datasets",
            one_line(error),
            "pip install tensorflow tensorflow-datasets, or choose another source",
        ) from error
    return tensorflow_datasets


def _prepared_builder(name: str, version: str | None, data_dir: str | Path | None) -> "DatasetBuilder":
    tfds = _tfds()
    if data_dir is not None and not Path(data_dir).is_dir():
        raise NotFoundError(
            f"there is no folder {str(data_dir)!r}",
            "the folder of prepared data sets, or an empty one to download into",
            str(data_dir),
            "correct --data-dir, or make the folder",
        )
    try:
        builder = tfds.builder(f"{name}:{version}" if version else name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        if not version or not (Path(data_dir or "") / name).is_dir():
            raise unknown_name("TFDS data set", name, tfds.list_builders()) from error
        raise _cannot_open(name, version, "no such version in the folder of prepared data") from error
    except (AssertionError, ValueError) as error:
        raise _cannot_open(name, version, one_line(error)) from error
    if not builder.is_prepared():
        _prepare(builder, name)
    return builder


def _cannot_open(name: str, version: str | None, reason: str) -> HeadstartError:
    return HeadstartError(
        f"TFDS cannot open {name}", "a name and a version that it has", f"{version}: {reason}", "correct it"
    )


def _prepare(builder: "DatasetBuilder", name: str) -> None:
    _log.info("%s is not prepared in %s: downloading it", name, builder.data_path)
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises whatever its downloader and parsers raise
        raise HeadstartError(
            f"TFDS data set {name!r} is not prepared here and could not be downloaded",
            f"prepared data in {str(builder.data_path)!r}, or its download address within reach",
            with_type(error),
            "name the folder of prepared data with --data-dir, or prepare it where there is a network",
        ) from error


def _split_list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r",(?![^\[]*\])", text)) if text else ()


def _default_splits(splits: Iterable[str]) -> tuple[str, ...]:
    known = tuple(name for name in splits if is_split(name))
    return known or tuple(splits)[:1]


def _names(instructions: tuple[str, ...]) -> tuple[str | None, ...]:
    if len(instructions) == 1:
        return (None,)
    if all(is_split(name) for name in instructions):
        return tuple(split_name(name, "tfds") for name in instructions)
    if len(instructions) > len(SPLIT_NAMES):
        raise HeadstartError(
            "too many splits",
            "at most three: train, validation, test",
            ",".join(instructions),
            "join them with +",
        )
    return SPLIT_NAMES if len(instructions) == 3 else ("train", "test")


def _image_and_label(builder: "DatasetBuilder") -> tuple[str, str]:
    features = builder.info.features
    tfds = _tfds()
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    found = {
        kind: [name for name, feature in features.items() if isinstance(feature, wanted)]
        for kind, wanted in kinds.items()
    }
    for kind, names in found.items():
        if not names:
            raise HeadstartError(
                f"TFDS data set {builder.name!r} has no {kind}",
                "an Image and a ClassLabel feature",
                ", ".join(features),
                "choose a data set for image classification",
            )
    return found["image"][0], found["label"][0]


def _rows(
    builder: "DatasetBuilder", instruction: str, split: str | None, label: str
) -> Iterator[tuple[Row, tuple[str, int]]]:
    try:
        absolute = _tfds().core.ReadInstruction.from_spec(instruction).to_absolute(builder.info.splits)
    except Exception as error:  # TFDS raises AssertionError, KeyError and ValueError here
        raise HeadstartError(
            f"TFDS cannot read the split {instruction!r}",
            f"an instruction over {', '.join(builder.info.splits)}, as train[:80%]",
            one_line(error),
            "correct the split",
        ) from error
    for part in absolute:
        first = part.from_ or 0
        last = builder.info.splits[part.splitname].num_examples if part.to is None else part.to
        if first >= last:
            raise HeadstartError(
                f"the split {instruction!r} is empty",
                "one example or more",
                f"{first}:{last}",
                "correct the split",
            )
        examples = _examples(builder, f"{part.splitname}[{first}:{last}]", label)
        for offset, example in enumerate(examples.as_numpy_iterator()):
            row = Row(example["tfds_id"].decode(), int(example[label]), split)
            yield row, (part.splitname, first + offset)


def _examples(
    builder: "DatasetBuilder", instruction: str, feature: str, skip_decoding: bool = False
) -> "tf.data.Dataset":
    tfds = _tfds()
    decoders = {feature: tfds.decode.SkipDecoding()} if skip_decoding else None
    return builder.as_dataset(
        split=instruction,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding({feature: True}, decoders=decoders),
        read_config=tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1, try_autocache=False),
    )


def _stretches(wanted: Iterable[tuple[str, int]]) -> Iterator[tuple[str, list[int]]]:
    """Group positions that one sequential read serves: ascending, without a long gap."""
    split, positions = "", list[int]()
    for name, position in wanted:
        if positions and (name != split or not 0 < position - positions[-1] <= _LONGEST_GAP):
            yield split, positions
            positions = []
        split = name
        positions.append(position)
    if positions:
        yield split, positions
