"""Trees of scikit-learn in a head, checked before its compiled code, which looks at no bounds, walks them."""

import gc
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.heads.table import BOOSTED_TREE, HEADS
from data.errors import HeadstartError

if TYPE_CHECKING:  # scikit-learn, which looking at a head does not need
    from sklearn.base import BaseEstimator
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.ensemble._forest import BaseForest
    from sklearn.tree import BaseDecisionTree
    from sklearn.tree._tree import Tree

TREES = (BOOSTED_TREE, "sklearn.tree._tree.Tree")  # types that hold nodes
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier"
_SINGLE = ("sklearn.tree._classes.DecisionTreeClassifier", "sklearn.tree._classes.ExtraTreeClassifier")
_FORESTS = (
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._forest.ExtraTreesClassifier",
)
_LEAF = -1  # the child of a leaf
_NO_PARTS = (type, ModuleType, FunctionType)  # of a head: they lead to the whole program
_COMPILED = ("cython_function_or_method", "fused_cython_function")  # as they do


def check_trees(head: object) -> None:
    """Raise if a tree of a loaded head would lead compiled code outside its arrays, or in circles.

    What compares the width of a row before the trees see it must be scikit-learn's own, so trees are
    taken from estimators that are known here, with none of their methods replaced.

    Raises
    ------
    HeadstartError
        As `refuse_other_trees` does.
    ValueError
        If a tree is not sound.

    Examples
    --------
    >>> check_trees("a head without trees")
    """
    refuse_other_trees(head)
    if not _holds_trees(head):
        return
    last = _steps(head)[-1]
    sound = _boosting_is_sound(last) if _is(last, _BOOSTING) else _forest_is_sound(last)
    if not (sound and _is_plain(head)):
        raise ValueError("a tree of the head refers to what is not there")


def refuse_other_trees(head: object) -> None:
    """Raise if a head holds trees where `check_trees` cannot check them.

    Raises
    ------
    HeadstartError
    """
    if not _holds_trees(head):
        return
    *before, last = _steps(head)
    if _holds_trees(before) or not _is(last, _BOOSTING, *_SINGLE, *_FORESTS):
        raise HeadstartError(
            "the head holds trees that cannot be checked when it is loaded",
            "a random forest, extra trees, a decision tree or a HistGradientBoostingClassifier, alone "
            "or at the end of a pipeline",
            type(last).__name__,
            "choose one of these, or the head `boosting`",
        )


def _steps(head: Any) -> list:
    return [step for _, step in head.steps] if _is(head, "sklearn.pipeline.Pipeline") else [head]


def _boosting_is_sound(head: "HistGradientBoostingClassifier") -> bool:
    trees = [tree for trees in head._predictors for tree in trees]
    plain = _is_plain(head) and head._preprocessor is None and not hasattr(head, "_in_fit")
    return (
        plain
        and _all_known(head, trees)
        and all(
            len(tree.nodes) > 0
            and not tree.nodes["is_categorical"].any()
            and _leads_on(
                tree.nodes["is_leaf"] == 0,
                (tree.nodes["left"], tree.nodes["right"]),
                tree.nodes["feature_idx"],
                head.n_features_in_,
            )
            for tree in trees
        )
    )


def _forest_is_sound(head: "BaseForest | BaseDecisionTree") -> bool:
    members = list(head.estimators_) if _is(head, *_FORESTS) else [head]
    width = head.n_features_in_
    return (
        all(_is(one, *_SINGLE) and _is_plain(one) and one.n_features_in_ == width for one in members)
        and _is_plain(head)
        and _all_known(head, [one.tree_ for one in members])
        and all(_tree_is_sound(one.tree_, width) for one in members)
    )


def _tree_is_sound(tree: "Tree", width: int) -> bool:
    children = tree.children_left, tree.children_right  # scikit-learn bounds both by the nodes it holds
    inner = children[0] != _LEAF
    return (
        tree.node_count > 0 and tree.n_features == width and _leads_on(inner, children, tree.feature, width)
    )


def _leads_on(
    inner: np.ndarray, children: tuple[np.ndarray, np.ndarray], features: np.ndarray, width: int
) -> bool:
    """Tell whether every inner node leads to later nodes that exist, by a feature that exists."""
    places = np.arange(len(inner))[inner]
    below = np.stack([child[inner] for child in children]).astype(np.int64)
    features = features[inner].astype(np.int64)
    exist = (below > places).all() and (below < len(inner)).all()
    return bool(exist and (features >= 0).all() and (features < width).all())


def _is_plain(estimator: "BaseEstimator") -> bool:
    """Tell whether an estimator has its class's own methods, and a width that scikit-learn compares."""
    own = any(hasattr(type(estimator), name) for name in vars(estimator))
    return not own and type(estimator.n_features_in_) is int


def _all_known(head: object, trees: list) -> bool:
    found = {id(one) for one in _reachable(head) if _is(one, *TREES)}
    return found == {id(tree) for tree in trees}


def _holds_trees(head: object) -> bool:
    return any(_is(one, *TREES) for one in _reachable(head))


def _is(one: object, *names: str) -> bool:
    """Tell whether a type is exactly one of those named, so that scikit-learn need not be imported."""
    return f"{type(one).__module__}.{type(one).__qualname__}" in names


def _reachable(head: object) -> Iterator[object]:
    """Yield every object that a head is made of; what Python's collector sees, nothing can hide."""
    seen: dict[int, object] = {}
    waiting = [head]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _NO_PARTS) or type(one).__name__ in _COMPILED:
            continue
        seen[id(one)] = one  # kept, or another object may get its id
        yield one
        waiting += gc.get_referents(one)
        if isinstance(one, np.ndarray) and one.dtype.hasobject:
            waiting.append(one.tolist())


def trusted_types() -> list[str]:
    """Return the types that a bundle may hold besides those of scikit-learn and numpy that skops trusts.

    Trees are checked besides, see `classify.bundle.trees.check_trees`.

    Examples
    --------
    >>> "classify.heads.ridge.RidgeHead" in trusted_types()
    True
    """
    return sorted({*TREES, *(kind for entry in HEADS.values() for kind in entry.trusted)})
