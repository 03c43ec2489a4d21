"""The table of heads: one entry says everything of a head."""

from collections.abc import Mapping, Sequence
from typing import Any

from classify.head import Head
from classify.heads.entry import Cost, HeadEntry, Sharing, Streaming
from classify.heads.parameters import CLASS_WEIGHT, KERAS, LINEAR_SVM, LOGISTIC, POSITIVE, RIDGE, SEED, SHARE
from data.allowed import AnyOf, Choice, Number, whole
from data.errors import unknown_name


def _lda(shrinkage: str | float | None = "auto") -> Head:
    """Make a linear discriminant analysis, its covariance shrunk as Ledoit and Wolf (2004) do."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)


def _knn(k: int = 5, metric: str = "cosine") -> Head:
    """Make a vote of the k nearest training rows, the nearer the more."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(k, metric=metric, weights="distance", algorithm="brute")


def _centroid(shrink_threshold: float | None = None) -> Head:
    """Make a classifier by the nearest class mean of standardized features."""
    from sklearn.neighbors import NearestCentroid

    return _standardized(NearestCentroid(shrink_threshold=shrink_threshold), "nearestcentroid")


def _boosting(
    max_iter: int = 100,
    learning_rate: float = 0.1,
    max_leaf_nodes: int | None = 15,
    class_weight: str | Mapping[object, float] | None = None,
    seed: int = 0,
) -> Head:
    """Make boosted trees over binned features."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=max_iter,
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        max_features=0.1,
        class_weight=class_weight,
        random_state=seed,
    )


def _mlp(hidden: int | Sequence[int] = (256,), standardize: bool = True, **params: Any) -> Head:
    """Make a Keras net with hidden layers, by default one, over standardized features."""
    from classify.heads.keras_head import KerasHead

    return KerasHead(hidden=hidden, standardize=standardize, **params)


def _standardized(estimator: Head, name: str) -> Head:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("standardscaler", StandardScaler()), (name, estimator)])


BOOSTED_TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_KERAS_HEAD = "classify.heads.keras_head.KerasHead"
_ENTRIES = (  # the simplest first: the one-standard-error rule takes the first good one
    HeadEntry(
        "centroid",
        _centroid,
        parameters={"shrink_threshold": AnyOf(Choice(None), POSITIVE)},
        cost=Cost(11),
        streaming=Streaming("classify.heads.streaming:fit_centroid"),
        becomes_layers=True,
    ),
    HeadEntry(
        "ridge",
        "classify.heads.ridge:RidgeHead",
        parameters=RIDGE,
        cost=Cost(240),
        streaming=Streaming(
            "classify.heads.streaming:fit_ridge", memory="classify.heads.streaming:ridge_bytes"
        ),
        becomes_layers=True,
        trusted=("classify.heads.ridge.RidgeHead",),
    ),
    HeadEntry(
        "lda",
        _lda,
        parameters={"shrinkage": AnyOf(Choice("auto", None), SHARE)},
        cost=Cost(130, seconds_besides=2),
        becomes_layers=True,
    ),
    HeadEntry(
        "logistic",
        "classify.heads.logistic:Logistic",
        parameters=LOGISTIC,
        cost=Cost(160, a_logit=True),
        space={"C": ("log", 1e-6, 10.0)},
        streaming=Streaming(
            "classify.heads.streaming:fit_logistic", memory="classify.heads.streaming:logistic_bytes"
        ),
        becomes_layers=True,
        trusted=("classify.heads.logistic.Logistic", "classify.scores.temperature.Calibration"),
    ),
    HeadEntry(
        "linear-svm",
        "classify.heads.linear_svm:LinearSvm",
        parameters=LINEAR_SVM,
        cost=Cost(200, a_logit=True, dear=True),
        grid={"C": (1e-5, 1e-4, 1e-3, 1e-2)},
        space={"C": ("log", 1e-6, 1.0)},
        becomes_layers=True,
        trusted=("classify.heads.linear_svm.LinearSvm",),
    ),
    HeadEntry(
        "keras-linear",
        "classify.heads.keras_head:KerasHead",
        parameters=KERAS,
        cost=Cost(2.5, a_logit=True),
        grid={
            "dropout": (0.2, 0.5),
            "l2": (1e-2, 1e-3, 0.0),
            "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
        },
        space={
            "dropout": ("even", 0.0, 0.7),
            "l2": ("log", 1e-6, 1e-1),
            "learning_rate": ("log", 1e-5, 1e-1),
        },
        sharing=Sharing(
            same=("dropout",), free=("learning_rate", "l2"), train="classify.heads.linear:train_group"
        ),
        streaming=Streaming("classify.heads.streaming:fit_keras"),
        becomes_layers=True,
        trusted=(_KERAS_HEAD,),
    ),
    HeadEntry(
        "knn",
        _knn,
        parameters={"k": whole(1), "metric": Choice("cosine", "euclidean")},
        cost=Cost(16),
        grid={"metric": ("cosine", "euclidean"), "k": (20, 10, 5, 1)},
        space={"metric": ("one of", "cosine", "euclidean"), "k": ("whole", 1, 30)},
    ),
    HeadEntry(
        "mlp",
        _mlp,
        parameters=KERAS,
        cost=Cost(500, dear=True),
        grid={"hidden": ((64,), (256,)), "dropout": (0.5, 0.2)},
        space={
            "hidden": ("one of", (64,), (128,), (256,), (512,), (256, 64)),
            "dropout": ("even", 0.0, 0.7),
            "l2": ("log", 1e-6, 1e-2),
            "learning_rate": ("log", 1e-4, 1e-2),
        },
        streaming=Streaming(
            "classify.heads.streaming:fit_keras", memory="classify.heads.streaming:net_bytes"
        ),
        becomes_layers=True,
        trusted=(_KERAS_HEAD,),
    ),
    HeadEntry(
        "boosting",
        _boosting,
        parameters={
            "max_iter": whole(1),
            "learning_rate": Number(0, 1, above=True),
            "max_leaf_nodes": AnyOf(Choice(None), whole(2)),
            "class_weight": CLASS_WEIGHT,
            "seed": SEED,
        },
        cost=Cost(460, seconds_besides=0.7, a_logit=True, dear=True),
        space={"learning_rate": ("log", 1e-2, 0.5), "max_leaf_nodes": ("whole", 3, 31)},
        trusted=(BOOSTED_TREE,),
    ),
)
HEADS: dict[str, HeadEntry] = {entry.name: entry for entry in _ENTRIES}


def head_named(name: str) -> HeadEntry:
    """Return the entry of that name, or raise with the nearest names.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> tuple(head_named("knn").parameters)
    ('k', 'metric')
    """
    if name not in HEADS:
        raise unknown_name("head", name, HEADS)
    return HEADS[name]


def make_head(name: str, **params: object) -> Head:
    """Make the head of that name, or raise with the nearest names.

    Parameters
    ----------
    name : str
        An entry of `HEADS`.
    **params
        As the entry's `parameters` allow them.

    Raises
    ------
    UsageError
        If the name or a parameter is unknown, or a value is not allowed.

    Examples
    --------
    >>> make_head("logistic", C=0.1).C
    0.1
    """
    return head_named(name)(**params)
