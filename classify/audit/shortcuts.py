"""Does something that is not in the picture predict the label, and does a head rely on it?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from classify.audit.findings import Finding
from classify.features.image_properties import ImageProperties, image_properties
from classify.features.images import Images
from classify.features.matrix import FeatureMatrix
from classify.features.property_values import JUDGED, LEAST, OF_ROWS, PropertyValues, property_values
from classify.scores.held_out import HeldOut, KindsHeldOut, compared
from classify.scores.intervals import Interval, paired_difference, simultaneous_z, wilson
from data.splits import SPLIT_NAMES

_MOST_READ, _MOST_TRAINED = 20_000, 5_000  # images whose properties are read; rows of heads
_FOLDS = 5
_COMPONENTS, _C = 256, 0.01  # principal components of the features, and the penalty of a head on them
_WEAK = 0.1  # of what is possible: less is told, and is no finding
_SMALL_FALL = 0.05  # of accuracy: heads do without a property if every fall is less for certain
EACH = "each value in turn"
_MUTUAL = 2**0.5  # by which intervals are wider than of independent rows: see `shortcuts_of`
_NOTHING = Interval(0.0, 0.0, 0.0)

VERDICTS = {  # the harmless first
    "same": "is the same in every image",
    "none": "does not predict the label",
    "weak": "hardly predicts the label",
    "unused": "predicts the label, but heads do without it",
    "untold": "predicts the label; whether heads rely on it cannot be told",
    "relied on": "predicts the label, and heads rely on it",
}


@dataclass(frozen=True)
class Shortcut:
    """Whether a property of image files alone predicts the label, and what a head owes to it.

    Attributes
    ----------
    name : str
        Of the property.
    kind : str
        One of `VERDICTS`.
    rows : int
    class_name : str
        The class that it tells best from the others.
    told, mistaken : Interval
        Share of the images of that class, and of all others, that the property alone assigns to it.
    skill : Interval
        The difference of the two: 0 is chance, 1 is certainty.
    held_out : tuple of (str, HeldOut)
        What heads are without each value of the property in turn, on all rows; then without one value,
        on those that have it, the largest fall first. Empty where the property does not predict the
        label, or no value can be left out.
    """

    name: str
    kind: str
    rows: int
    class_name: str = ""
    told: Interval = _NOTHING
    mistaken: Interval = _NOTHING
    skill: Interval = _NOTHING
    held_out: tuple[tuple[str, HeldOut], ...] = ()

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        words = f"{self.name} {VERDICTS[self.kind]}"
        if self.kind in ("same", "none"):
            return words
        words += (
            f": alone it finds {self.told.value:.0%} of {self.class_name!r} and takes "
            f"{self.mistaken.value:.0%} of the others for it"
        )
        if not self.held_out:
            return words
        value, worst = self.worst
        low, high = (f"{100 * end:.1f}" for end in (worst.fall.low, worst.fall.high))
        return (
            f"{words}; with {value} left out of training, {worst.unseen.value:.1%} of such images come out "
            f"right, else {worst.seen.value:.1%}: {100 * worst.fall.value:.1f} points less [{low}, {high}]"
        )

    @property
    def worst(self) -> tuple[str, HeldOut]:
        """The value without which heads fall for certain, and most; else each in turn."""
        return max(self.held_out, key=lambda pair: (pair[1].fall.low > 0) * pair[1].fall.value)

    def finding(self) -> Finding | None:
        """Return the finding of an audit; None where the property hardly predicts the label."""
        if self.kind in ("same", "none", "weak"):
            return None
        return Finding("shortcut", round(self.skill.value, 6), self.verdict, label=self.class_name)

    def to_dict(self) -> dict:
        """Return it as JSON-ready values."""
        values = asdict(self)
        held_out = [{"value": value, **asdict(each)} for value, each in self.held_out]
        return {**values, "held_out": held_out, "verdict": self.verdict}


def shortcuts(features: FeatureMatrix, images: Images, seed: int = 0) -> list[Shortcut]:
    """Tell which properties of image files predict the labels alone, as `shortcuts_of` does.

    Of at most 20,000 images the properties are read. Where the images are gone, folders and groups are
    all that can be told.

    Parameters
    ----------
    features : FeatureMatrix
    images : Images
    seed : int
    """
    rows = _sample(features.rows(*SPLIT_NAMES), _MOST_READ, seed)
    properties = image_properties(images, rows)
    if not len(properties.rows):
        properties = ImageProperties(rows, {}, {})
    return shortcuts_of(features, properties, seed)


def shortcuts_of(features: FeatureMatrix, properties: ImageProperties, seed: int = 0) -> list[Shortcut]:
    """Tell which properties predict the labels alone.

    A small decision tree on a property predicts every label from rows that it did not see. Its skill is
    the share of a class that it finds less the share of the others that it takes for that class, of the
    class that it tells best (W. J. Youden (1950), Cancer 3, 32-35). All intervals of skill hold at once
    in 95 % of cases, whatever the number of properties and classes; so do those of the falls. In
    cross-validation two like rows of different folds predict each other, so that luck counts twice:
    variances are doubled (on drawn labels their root was too small by 1.1 to 1.5; Y. Bengio, Y. Grandvalet
    (2004), Journal of Machine Learning Research 5, 1089-1105).

    Where the skill is more than a tenth, each value of the property is left out once: a logistic head on
    256 principal components of the features is trained on rows without it and judged on those with it,
    against heads of as many training rows that saw some.

    Parameters
    ----------
    features : FeatureMatrix
    properties : ImageProperties
        Of some of its rows.
    seed : int
        Of folds and samples.

    Returns
    -------
    list of Shortcut
        One for each property that is known, the worst first; empty where fewer than two classes have
        ten rows each.
    """
    y = features.y[properties.rows]
    counts = np.bincount(y[y >= 0], minlength=1)
    kept = np.isin(y, np.flatnonzero(counts >= LEAST))
    rows, y = properties.rows[kept], y[kept]
    if (counts >= LEAST).sum() < 2:
        return []
    tables = property_values(features, properties, rows)
    alone = _alone(tables, y, features, rows, seed)
    strong = {
        each.name: table.parts(y) for table, each in zip(tables, alone, strict=True) if _is_strong(each)
    }
    if strong:
        alone = _held_out(alone, strong, y, features, rows, seed)
    order = list(VERDICTS)
    return sorted(alone, key=lambda each: (-order.index(each.kind), -each.skill.value))


def shortcut_lines(found: Sequence[Shortcut]) -> list[str]:
    """Lay out shortcuts for people, in at most 80 columns but for names."""
    lines = [f"{'property':<14}{'skill':>7}  {'interval':<15}{'worst fall':>10}  {'interval, points':<18}"]
    for each in found:
        skill = "-" if each.kind == "same" else f"{each.skill.value:.2f}"
        ends = "" if each.kind == "same" else f"[{each.skill.low:.2f}, {each.skill.high:.2f}]"
        line = f"{each.name:<14}{skill:>7}  {ends:<15}"
        if each.held_out:
            fall = each.worst[1].fall
            line += f"{100 * fall.value:>10.1f}  [{100 * fall.low:.1f}, {100 * fall.high:.1f}]"
        lines.append(line.rstrip())
    return [*lines, *(each.verdict for each in found if each.finding())]


def _is_strong(found: Shortcut) -> bool:
    return found.skill.low > _WEAK


def _sample(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _folds(y: np.ndarray, groups: Sequence[str] | None, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    grouped = groups is not None and len(set(groups)) >= _FOLDS
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(_FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(np.empty(len(y)), y, groups if grouped else None))


def _alone(
    tables: Sequence[PropertyValues], y: np.ndarray, features: FeatureMatrix, rows: np.ndarray, seed: int
) -> list[Shortcut]:
    """Return how well each property alone predicts the labels."""
    classes = np.unique(y)
    tried = sum(table.varies for table in tables) * (len(classes) if len(classes) > 2 else 1)
    z = _MUTUAL * simultaneous_z(max(1, tried))
    folds = _folds(y, features.groups_of(rows), seed)
    of_rows = _folds(y, None, seed)  # a group that no tree saw predicts nothing
    found = []
    for table in tables:
        if not table.varies:
            found.append(Shortcut(table.name, "same", len(y)))
            continue
        predicted = _predicted(table.X, y, of_rows if table.name in OF_ROWS else folds, seed)
        skills = [(int(k), *_skill(predicted == k, y == k, z)) for k in classes]
        k, told, mistaken, skill = max(skills, key=lambda each: (round(each[3].low, 9), -each[2].value))
        kind = "none" if skill.low <= 0 else "untold" if skill.low > _WEAK else "weak"
        found.append(Shortcut(table.name, kind, len(y), features.class_names[k], told, mistaken, skill))
    return found


def _predicted(
    X: np.ndarray, y: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> np.ndarray:
    """Return the label of each row by a tree that did not see it."""
    from sklearn.tree import DecisionTreeClassifier

    thinnest = int(np.unique(y, return_counts=True)[1].min())
    leaf = int(min(max(5, len(y) ** 0.5), max(1, thinnest // 3)))
    tree = DecisionTreeClassifier(min_samples_leaf=leaf, class_weight="balanced", random_state=seed)
    predicted = np.empty_like(y)
    for train, test in folds:
        predicted[test] = tree.fit(X[train], y[train]).predict(X[test])
    return predicted


def _skill(predicted: np.ndarray, true: np.ndarray, z: float) -> tuple[Interval, Interval, Interval]:
    """Return the shares of a class and of the others that are assigned to it, and their difference."""
    told = wilson(int(predicted[true].sum()), int(true.sum()), z)
    mistaken = wilson(int(predicted[~true].sum()), int((~true).sum()), z)
    return told, mistaken, paired_difference(told, mistaken, 0.0)


def _held_out(
    alone: Sequence[Shortcut],
    strong: dict[str, list[tuple[str, np.ndarray]]],
    y: np.ndarray,
    features: FeatureMatrix,
    rows: np.ndarray,
    seed: int,
) -> list[Shortcut]:
    """Judge heads without each value of the properties that predict the label."""
    from classify.heads.logistic import Logistic

    chosen = _sample(np.arange(len(rows)), _MOST_TRAINED, seed)
    chosen = chosen[np.bincount(y[chosen])[y[chosen]] >= LEAST]
    X, labels = _components(features.X[rows[chosen]], seed), y[chosen]
    folds = _folds(labels, features.groups_of(rows[chosen]), seed)
    heads = KindsHeldOut(Logistic(C=_C, tol=1e-3, standardize=False), X, labels, folds, seed, LEAST)
    judged = {
        name: [
            (value, *right) for value, has in parts if len((right := heads.judge(has[chosen]))[0]) >= JUDGED
        ]
        for name, parts in strong.items()
    }
    z = simultaneous_z(max(1, sum(len(values) + 1 for values in judged.values())))
    return [_told(each, judged[each.name], z) if judged.get(each.name) else each for each in alone]


def _told(found: Shortcut, values: Sequence[tuple[str, np.ndarray, np.ndarray]], z: float) -> Shortcut:
    """Return a shortcut with what heads are without its values."""
    each = [(value, compared(seen, unseen, z)) for value, seen, unseen in values]
    each.sort(key=lambda pair: -pair[1].fall.value)
    seen, unseen = (np.concatenate([value[place] for value in values]) for place in (1, 2))
    every = compared(seen, unseen, z)
    judged = ((EACH, every), *each)
    falls = [one.fall for _, one in judged]
    unused = all(fall.high <= _SMALL_FALL for fall in falls)
    kind = "relied on" if any(fall.low > 0 for fall in falls) else "unused" if unused else "untold"
    return replace(found, kind=kind, held_out=judged)


def _components(X: np.ndarray, seed: int) -> np.ndarray:
    """Return the leading principal components of standardized features: a head on them costs little."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(np.asarray(X, np.float32))
    reduced = PCA(min(_COMPONENTS, *scaled.shape), svd_solver="randomized", random_state=seed)
    return reduced.fit_transform(scaled).astype(np.float64)
