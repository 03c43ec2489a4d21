"""Logistic regression that has converged: its predictions are those of its objective, not of its path."""

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler


class Logistic(LogisticRegression):
    """Scikit-learn's logistic regression by Newton's method in float64, to a small gradient.

    The penalized objective has one minimum. Thousands of correlated features make it so flat in some
    directions that L-BFGS, stopped at scikit-learn's tolerance of 1e-4, is still far from it, and where it
    stops depends on its start and on rounding. Newton steps converge quadratically, so that the last of
    them costs little; in float32 the products would be too rough for it.

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength.
    max_iter : int
        Newton steps.
    class_weight : None, "balanced" or dict
    tol : float
        Greatest part of the mean gradient at the end.
    warm_start : bool
        Begin at the last fit: sooner at the same minimum.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> Logistic().fit(X, y).predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    def __init__(
        self,
        C: float = 1.0,
        max_iter: int = 1000,
        class_weight: str | Mapping[object, float] | None = None,
        tol: float = 1e-9,
        warm_start: bool = False,
    ) -> None:
        super().__init__(
            C=C,
            max_iter=max_iter,
            class_weight=class_weight,
            tol=tol,
            warm_start=warm_start,
            solver="newton-cg",
        )

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "Logistic":
        """Train as scikit-learn does, in float64.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)
        sample_weight : array_like of shape (N,), optional

        Returns
        -------
        self
        """
        if isinstance(X, np.ndarray) and X.dtype == np.float32:
            X = X.astype(np.float64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "newton-cg failed to converge", ConvergenceWarning)
            super().fit(X, y, sample_weight)
        if self.n_iter_.max() >= self.max_iter:
            words = f"the logistic head has not converged in {self.max_iter} steps; raise max_iter"
            warnings.warn(words, ConvergenceWarning, 2)
        return self

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients and intercepts of its logits."""
        return self.coef_, self.intercept_


def train_group(
    configurations: Sequence[Mapping[str, float]], seed: int, X: np.ndarray, y: np.ndarray, X_val: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Train over standardized features from the strongest penalty on, each from the one before.

    Parameters
    ----------
    configurations : sequence of mapping
        Of ``C`` alone.
    seed : int
        Not used: the minimum is one.
    X, y, X_val : ndarray

    Yields
    ------
    probabilities : ndarray of float64, shape (M, K)
        Of the validation rows, by each configuration in its order.
    classes : ndarray of shape (K,)
    """
    scaler, model = StandardScaler(), Logistic(warm_start=True)
    seen, unseen = scaler.fit_transform(X), scaler.transform(X_val)
    found = {}
    for C in sorted({params["C"] for params in configurations}):
        found[C] = model.set_params(C=C).fit(seen, y).predict_proba(unseen)
    for params in configurations:
        yield found[params["C"]], model.classes_
