"""Trees of scikit-learn: they are saved and loaded, and no stranger's lead compiled code astray."""

from functools import partial

import numpy as np
import pytest
from conftest import assert_four_parts
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from small import drawn_features

from classify import Bundle
from classify.bundle.trees import check_trees
from data import HeadstartError

FEATURES = drawn_features()
Forest = partial(RandomForestClassifier, 3, random_state=0)
Boosting = partial(HistGradientBoostingClassifier, max_iter=20, random_state=0)
TAKEN = {
    "forest": Forest,
    "extra trees": partial(ExtraTreesClassifier, 3, random_state=0),
    "tree": partial(DecisionTreeClassifier, random_state=0),
    "extra tree": partial(ExtraTreeClassifier, random_state=0),
    "boosting": Boosting,
    "forest after a scaler": lambda: make_pipeline(StandardScaler(), PCA(4), Forest()),
    "boosting after a scaler": lambda: make_pipeline(StandardScaler(), Boosting()),
}
REFUSED = {
    "gradient boosting": GradientBoostingClassifier,
    "AdaBoost": AdaBoostClassifier,
    "selected by a forest": lambda: make_pipeline(SelectFromModel(Forest(), max_features=3), Forest()),
    "selected for a linear head": lambda: make_pipeline(SelectFromModel(Forest()), LogisticRegression()),
}


def bundle_of(make) -> Bundle:
    return Bundle.of(make().fit(*FEATURES.training_rows()), FEATURES)


@pytest.mark.parametrize("name", TAKEN)
def test_heads_of_trees_come_back_as_they_were(name, tmp_path):
    bundle = bundle_of(TAKEN[name]).save(tmp_path / "saved")
    loaded = Bundle.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(FEATURES.X), bundle.predict_proba(FEATURES.X))


@pytest.mark.parametrize("name", REFUSED)
def test_trees_elsewhere_are_refused_when_saved(name, tmp_path):
    with pytest.raises(HeadstartError, match="trees that cannot be checked") as caught:
        bundle_of(REFUSED[name]).save(tmp_path / "saved")
    assert_four_parts(str(caught.value))
    assert list(tmp_path.iterdir()) == []


def _set(name, value):
    """Return a change of the first inner node of a tree, through the array that the tree itself reads."""

    def change(head):
        tree = head.estimators_[1].tree_
        getattr(tree, name)[np.flatnonzero(tree.children_left != -1)[0]] = value

    return change


def _replaced(**values):
    return lambda head: vars(head).update(values)


def _of_member(**values):
    return lambda head: vars(head.estimators_[1]).update(values)


def _empty(head):
    tree = head.estimators_[1].tree_
    head.estimators_[1].tree_ = type(tree)(6, np.array([2]), 1)


def _narrow(head):
    head.estimators_[1] = DecisionTreeClassifier().fit(FEATURES.X[:, :3], FEATURES.y)


def _hidden(head):
    head.spare = np.array([{"kept": DecisionTreeClassifier().fit(FEATURES.X, FEATURES.y).tree_}, 0], object)


ASTRAY = {
    "left to itself": _set("children_left", 0),
    "left beyond": _set("children_left", 10**6),
    "left before": _set("children_left", -2),
    "right to itself": _set("children_right", 0),
    "right beyond": _set("children_right", 2**62),
    "right is none": _set("children_right", -1),
    "feature beyond": _set("feature", 6),
    "feature before": _set("feature", -2),
    "no nodes": _empty,
    "another width": _narrow,
    "a tree that nobody knows": _hidden,
    "width not compared": _replaced(_validate_X_predict=np.abs),
    "width of another kind": _replaced(n_features_in_=np.array([6])),
    "a method of a member": _of_member(predict_proba=np.abs),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_forest_that_leads_astray_is_not_loaded(name, tmp_path):
    bundle = bundle_of(Forest)
    check_trees(bundle.head)
    ASTRAY[name](bundle.head)
    with pytest.raises(ValueError, match="refers to what is not there"):
        check_trees(bundle.head)
    if name in ("left to itself", "feature beyond", "no nodes", "width not compared"):  # also through a file
        bundle.save(tmp_path / "saved")
        with pytest.raises(HeadstartError) as caught:
            Bundle.load(tmp_path / "saved")
        assert_four_parts(str(caught.value))


@pytest.mark.parametrize("after_a_scaler", [True, False])
@pytest.mark.parametrize("fault", ["feature", "preprocessor", "in fit", "method"])
def test_boosting_that_leads_astray_is_not_loaded(fault, after_a_scaler):
    head = Boosting().fit(*FEATURES.training_rows())
    whole = make_pipeline(StandardScaler().fit(FEATURES.X), head) if after_a_scaler else head
    check_trees(whole)
    if fault == "feature":
        nodes = head._predictors[0][0].nodes
        nodes["feature_idx"][np.flatnonzero(nodes["is_leaf"] == 0)[0]] = 6
    elif fault == "preprocessor":  # it, and not scikit-learn, would then look after the width
        head._preprocessor = FunctionTransformer()
    elif fault == "in fit":
        head._in_fit = True
    else:
        head._preprocess_X = np.abs
    with pytest.raises(ValueError, match="refers to what is not there"):
        check_trees(whole)


def test_a_pipeline_whose_method_is_replaced_is_not_loaded():
    whole = make_pipeline(StandardScaler(), Forest()).fit(*FEATURES.training_rows())
    whole.predict_proba = np.abs
    with pytest.raises(ValueError, match="refers to what is not there"):
        check_trees(whole)
