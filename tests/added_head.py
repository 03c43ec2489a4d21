"""A head that Headstart has not: this module and one entry of the table; a plugin of pytest adds it."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from classify.heads.entry import HeadEntry
from classify.heads.table import HEADS
from classify.scores.calibration import flat, probabilities
from data.allowed import Number, check_values

PARAMETERS = {"stretch": Number(0, above=True)}


class NearestMeans(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest, as a linear head."""

    def __init__(self, stretch: float = 1.0):
        self.stretch = stretch

    def fit(self, X, y):
        check_values(self.get_params(), PARAMETERS)
        X, y = validate_data(self, X, y)
        self.classes_ = np.unique(y)
        means = np.stack([X[y == one].mean(axis=0) for one in self.classes_])
        self.coef_, self.intercept_ = 2 * self.stretch * means, -self.stretch * (means**2).sum(axis=1)
        if len(means) == 2:
            self.coef_, self.intercept_ = np.diff(self.coef_, axis=0), np.diff(self.intercept_)
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        return probabilities(flat(validate_data(self, X, reset=False) @ self.coef_.T + self.intercept_))

    def predict(self, X):
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def dense(self):
        return self.coef_, self.intercept_


HEADS["nearest-means"] = HeadEntry(
    "nearest-means",
    "added_head:NearestMeans",
    parameters=PARAMETERS,
    grid={"stretch": (0.5, 1.0)},
    space={"stretch": ("log", 0.1, 10.0)},
    becomes_layers=True,
    trusted=("added_head.NearestMeans",),
)
