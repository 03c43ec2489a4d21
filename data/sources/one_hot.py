"""Images that tables beside them put into classes by a 1 in the column of one, as Roboflow exports them."""

import os
from dataclasses import replace
from pathlib import Path

from data.sources.csv_list import COLUMNS, listed
from data.sources.folder import FileSource
from data.sources.tree import IMAGE_SUFFIXES
from data.tables.class_columns import CLASSES_CSV, class_tables_in, read_class_table
from data.tables.csv_text import Table
from data.text import counted, some_of


def open_one_hot(folder: str | Path) -> FileSource:
    """Open the images that tables ``_classes.csv`` list, in a folder or in its folders of splits.

    A line names an image beside its table, and holds 1 under its class and 0 under all others; one without
    any 1 has no label.

    Parameters
    ----------
    folder : str or Path

    Raises
    ------
    HeadstartError
        If a table cannot be read, an image has several classes, or none of the images is there.
    """
    root = Path(folder)
    records: list[tuple[int, dict[str, str]]] = []
    classes: set[str] = set()
    unlisted = 0
    for split in class_tables_in(str(root)):
        lines = list(read_class_table(root / split / CLASSES_CSV))
        for line in lines:
            place = f"{split}/{line.name}" if split else line.name
            fields = {"path": place, "label": line.label, "split": split, "group": ""}
            records.append((line.number, fields))
            classes.update(line.among)
        there = (name for name in os.listdir(root / split) if Path(name).suffix.lower() in IMAGE_SUFFIXES)
        unlisted += len(set(there) - {line.name for line in lines})
    given = [fields["label"] for _, fields in records]
    notes = [f"{counted(unlisted, 'image')} passed over, in no {CLASSES_CSV}"] if unlisted else []
    notes += [f"{counted(given.count(''), 'image')} without a label: no class has a 1"] if "" in given else []
    empty = sorted(classes - set(given))
    notes += [f"classes without any image: {some_of(empty)}"] if empty else []
    return replace(listed(root, root, Table(records, COLUMNS, (), notes)), layout="columns of classes")
