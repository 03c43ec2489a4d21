"""Images that are there several times: equal bytes, equal features, near-duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from classify.audit.clusters import clusters_of, components
from classify.audit.findings import Finding, ordered
from classify.audit.gaps import FALSE_ALARM_RATE, NEIGHBOURS, Thresholds, copies
from classify.features.columns import Matrix
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import nearest_of_all
from classify.features.projection import exact, nearest_projected
from classify.features.rows import LabelledRows
from data.output.checks import check_file
from data.output.csv_file import csv_text, write_csv
from data.output.ours import GROUPS
from data.splits import SPLIT_NAMES
from data.text import counted, one_line, some_of

KINDS = ("equal bytes", "equal features", "near-duplicates")  # the surest first
_EQUAL = 1e-5  # of the length of a feature: what rounding makes of equal pixels
_SCORES = (1.0, 0.9995)  # of the first two kinds; near-duplicates have their cosine, at most the next
_NEAR = 0.999
_LOOSE = (KINDS.index("near-duplicates"), 0.0)  # a cluster that pairs of other rows hold together
_AT_ONCE = 1024  # pairs that are compared
EXACT = 50_000  # rows, up to which each is compared with each
_LOOSER = 10
_SAMPLE = 10_000  # rows whose exact neighbours tell the thresholds


@dataclass(frozen=True)
class Duplicates:
    """Rows that show one image.

    Attributes
    ----------
    pairs : ndarray of int, shape (P, 2)
        Rows, the smaller one first. Of several rows with equal bytes, each is paired with the
        first, which alone is paired with others.
    cosine : ndarray of float32, shape (P,)
    kinds : ndarray of int8, shape (P,)
        Indices into `KINDS`.
    clusters : ndarray of int32, shape (N,)
        Number of the cluster of each row, -1 for none.
    thresholds : Thresholds
        Of near-duplicates.
    false_alarm_rate : float
        Share of the rows without a copy that get one all the same, as the thresholds were chosen.
    """

    pairs: np.ndarray = field(repr=False)
    cosine: np.ndarray = field(repr=False)
    kinds: np.ndarray = field(repr=False)
    clusters: np.ndarray = field(repr=False)
    thresholds: Thresholds
    false_alarm_rate: float

    def members(self) -> list[np.ndarray]:
        """Return the rows of each cluster."""
        order = np.argsort(self.clusters, kind="stable")
        order = order[self.clusters[order] >= 0]
        if not len(order):
            return []
        return np.split(order, np.flatnonzero(np.diff(self.clusters[order])) + 1)

    def leaking(self, rows: LabelledRows, split: str = "test") -> np.ndarray:
        """Return the labelled rows of a split that training or validation rows show too.

        Returns
        -------
        ndarray of int
            Ascending.
        """
        inside = rows.rows(split)
        outside = rows.rows(*(name for name in ("train", "validation") if name != split))
        return inside[np.isin(self.clusters[inside], self.clusters[outside]) & (self.clusters[inside] >= 0)]

    def findings(self, rows: LabelledRows) -> list[Finding]:
        """Return a finding for each cluster: of several labels, across splits, or else of one class.

        One that has several labels and is in several splits gives two. Equal bytes come first.
        """
        one, two = self.pairs.T
        labelled = (rows.y[one] >= 0) & (rows.y[two] >= 0)
        shown = {
            "contradiction": self._surest(labelled & (rows.y[one] != rows.y[two])),
            "leak": self._surest(labelled & (rows.splits[one] != rows.splits[two])),
            "duplicate": {},
        }
        surest, found = self._surest(), []
        for number, members in enumerate(self.members()):
            known = members[rows.y[members] >= 0]
            several = {"contradiction": rows.y[known], "leak": rows.splits[known]}
            kinds = [kind for kind, values in several.items() if len(np.unique(values)) > 1]
            for kind in kinds or ["duplicate"]:
                pair = shown[kind].get(number, surest.get(number, _LOOSE))
                found.append(_finding(kind, rows, members, *pair))
        return ordered(found)

    def _surest(self, chosen: np.ndarray | slice = slice(None)) -> dict[int, tuple[int, float]]:
        """Return kind and cosine of the surest of some pairs by the number of their cluster."""
        best: dict[int, tuple[int, float]] = {}
        pairs, kinds, cosine = self.pairs[chosen], self.kinds[chosen], self.cosine[chosen]
        for place in np.lexsort((-cosine, kinds)):
            first, second = self.clusters[pairs[place]]
            if first == second:
                best.setdefault(int(first), (int(kinds[place]), float(cosine[place])))
        return best

    def groups(self, rows: LabelledRows) -> tuple[str, ...]:
        """Return the group of each row, clusters and the rows' own groups merged; empty for none.

        They can take the place of the rows' own: no fold or split then divides a cluster.
        """
        own = rows.groups or ("",) * len(rows.ids)
        named = np.flatnonzero(own)
        names, numbers = np.unique(np.array(own)[named], return_inverse=True)
        clustered = np.flatnonzero(self.clusters >= 0)
        clusters = self.clusters[clustered] + len(names)
        nodes = len(rows.ids) + len(names) + int(self.clusters.max(initial=-1)) + 1
        joined = [(named, numbers), (clustered, clusters)]
        links = np.concatenate([np.stack([ends, len(rows.ids) + other], 1) for ends, other in joined])
        component = components(nodes, links)[: len(rows.ids)]
        return _names_of(component, own, self.clusters, rows.digests)


def find_duplicates(features: FeatureMatrix, false_alarm_rate: float = FALSE_ALARM_RATE) -> Duplicates:
    """Find the rows that show one image.

    Equal bytes are known by their digests, equal pixels by equal features. Near-duplicates are
    rows whose distance is small beside that to the next different image, or beside what all
    images have to their nearest; `classify.audit.gaps.copies` chooses both thresholds.

    Parameters
    ----------
    features : FeatureMatrix
    false_alarm_rate : float
        Share of the rows without a copy that are taken for near-duplicates.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> find_duplicates(load_features("photos.h5")).pairs  # doctest: +SKIP
    array([[1109, 1216]])
    """
    images = np.ascontiguousarray(features.digests).view("V32")[:, 0]
    _, firsts, image = np.unique(images, return_index=True, return_inverse=True)
    others = np.setdiff1d(np.arange(len(images)), firsts)
    same = np.stack([firsts[image[others]], others], axis=1)
    distinct = np.sort(firsts)
    near, thresholds = _alike(features.X, distinct, false_alarm_rate)
    cosine, equal = _compared(features.X, near)
    pairs = np.concatenate([same, near])
    cosine = np.concatenate([np.ones(len(same), np.float32), cosine])
    kinds = np.concatenate([np.zeros(len(same), np.int8), np.where(equal, 1, 2).astype(np.int8)])
    clusters = clusters_of(features.X, pairs, cosine)
    return Duplicates(pairs, cosine, kinds, clusters, thresholds, false_alarm_rate)


def groups_csv(rows: LabelledRows, duplicates: Duplicates) -> str:
    """Return the groups of rows as CSV, each image once; rows without a group are left out.

    Examples
    --------
    >>> print(groups_csv(features, find_duplicates(features)))  # doctest: +SKIP
    digest,group
    2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881,copies of 2d711642b726b044
    """
    named = zip(rows.digests, duplicates.groups(rows), strict=True)
    found = {digest.tobytes().hex(): group for digest, group in named if group}
    return csv_text(GROUPS, found.items())


def write_groups(path: Path, rows: LabelledRows, duplicates: Duplicates) -> None:
    """Write the groups of rows, as ``--groups`` of `extract run` and of `classify train` takes them.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of groups.
    """
    check_groups(path)
    write_csv(path, groups_csv(rows, duplicates), "--groups-out")


def check_groups(path: Path) -> None:
    """Raise if `write_groups` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "list of groups", "--groups-out")


def _alike(X: Matrix, rows: np.ndarray, rate: float) -> tuple[np.ndarray, Thresholds]:
    """Return pairs of rows with equal or nearly equal features."""
    places, cosine, sample = _neighbours(X, rows, rate)
    found, thresholds = copies(places, cosine, rate, sample)
    first, rank = np.nonzero(cosine > 1 - _EQUAL)
    maybe = np.stack([first, places[first, rank]], axis=1)
    _, equal = _compared(X, rows[maybe])
    pairs = np.concatenate([found, np.sort(maybe[equal], axis=1)])
    return rows[np.unique(pairs, axis=0)], thresholds


def _neighbours(X: Matrix, rows: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return places and cosines of neighbours, and which rows have them where not all have.

    Beyond `EXACT` rows, those that could have copies are found by projections, at a rate of false
    alarms of ten times as much; they and a sample get exact cosines.
    """
    if len(rows) <= EXACT:
        near, cosine = nearest_of_all(X, rows, NEIGHBOURS)
        return np.where(near < 0, -1, np.searchsorted(rows, near)), cosine, None
    places, cosine = nearest_projected(X, rows, NEIGHBOURS)
    pairs, _ = copies(places, cosine, _LOOSER * rate)
    equal = np.flatnonzero(cosine[:, 0] > 1 - _EQUAL)
    sample = np.arange(0, len(rows), -(-len(rows) // _SAMPLE))
    chosen = np.unique(np.concatenate([pairs.ravel(), equal, sample]))
    return *exact(X, rows, places, chosen), sample


def _compared(X: Matrix, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of each pair of rows, and whether their features are equal but for rounding."""
    cosine, equal = np.empty(len(pairs), np.float32), np.empty(len(pairs), bool)
    for first in range(0, len(pairs), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        one, two = (np.asarray(X[pairs[part, side]], np.float32) for side in (0, 1))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        cosine[part] = np.einsum("nd,nd->n", one, two) / np.where(lengths, lengths, 1)
        equal[part] = np.linalg.norm(one - two, axis=1) <= _EQUAL * np.linalg.norm(one, axis=1)
    return cosine, equal


def _finding(kind: str, rows: LabelledRows, members: np.ndarray, sort: int, cosine: float) -> Finding:
    """Tell what is wrong with a cluster, of which the first row stands for all."""
    classes = [rows.class_names[label] if label >= 0 else "" for label in rows.y[members]]
    said = {"contradiction": classes, "leak": [SPLIT_NAMES[split] for split in rows.splits[members]]}
    names = [
        rows.ids[row] + (f" ({word})" if word else "")
        for row, word in zip(members, said.get(kind, [""] * len(members)), strict=True)
    ]
    how = KINDS[sort] if sort < 2 else f"{KINDS[sort]}, cosine {cosine:.3f}"
    digests = [rows.digests[row].tobytes().hex() for row in members]
    return Finding(
        kind=kind,
        score=_SCORES[sort] if sort < 2 else min(max(cosine, 0.0), _NEAR),
        reason=one_line(f"{counted(len(members), 'image')}, {how}: {some_of(names, 4)}"),
        digest=digests[0],
        id=rows.ids[members[0]],
        label=classes[0],
        evidence=tuple(digests[1:]),
    )


def _names_of(
    component: np.ndarray, own: Sequence[str], clusters: np.ndarray, digests: np.ndarray
) -> tuple[str, ...]:
    """Return a name for each row of a component: the first of its groups, or of its first image."""
    names: dict[int, str] = {}
    for row, group in enumerate(own):
        if group:
            names[component[row]] = min(names.get(component[row], group), group)
    for row in np.flatnonzero(clusters >= 0).tolist():
        names.setdefault(component[row], f"copies of {digests[row].tobytes().hex()[:16]}")
    return tuple(names.get(number, "") for number in component)
