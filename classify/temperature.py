"""Decision values to probabilities: one factor, fitted on rows that the classifier did not see."""

import numpy as np
from scipy.optimize import brentq
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

LOWEST, HIGHEST = 1e-3, 1e3


def fit_temperature(decision, y, smoothing: float = 0.0) -> float:
    """Return the factor of decision values whose sigmoid or softmax has the least log loss.

    The factor is the inverse of the temperature of Guo et al. [1]_. With one decision value a row it
    is the slope of Platt's sigmoid [2]_, whose offset is left at 0, so no decision changes. The log
    loss is convex in the factor: its derivative, the mean of what the softmax expects of a row's
    decision values less what the label says, never falls, and has its root at the minimum.

    Parameters
    ----------
    decision : array_like of shape (N,) or (N, K)
        One value a row for two classes, or one for each class.
    y : array_like of shape (N,)
        Indices of the classes, 0 to K - 1.
    smoothing : float
        Share of each label that goes to all classes alike. Without it rows without one error have
        no best factor: the greater the better.

    Returns
    -------
    float
        Between 1e-3 and 1e3; 1e-3 where the decision values say nothing, or worse.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    .. [2] Niculescu-Mizil and Caruana, Predicting Good Probabilities With Supervised Learning, ICML 2005,
       section 4; smoothed labels keep the slope finite there too.

    Examples
    --------
    Three of four right at a distance of 1: the factor is the logarithm of 3.

    >>> round(fit_temperature([1, 1, 1, 1], [1, 1, 1, 0]), 4)
    1.0986
    """
    columns = _columns(decision)
    said = (1 - smoothing) * _of_label(columns, y) + smoothing * columns.mean(axis=1)

    def slope(log_factor: float) -> float:
        expected = (_softmax(np.exp(log_factor) * columns) * columns).sum(axis=1)
        return float((expected - said).mean())

    low, high = np.log(LOWEST), np.log(HIGHEST)
    if slope(low) >= 0:
        return LOWEST
    if slope(high) <= 0:
        return HIGHEST
    return float(np.exp(brentq(slope, low, high, xtol=1e-9)))


def probabilities(decision, temperature: float) -> np.ndarray:
    """Return the sigmoid or softmax of decision values times a factor.

    Parameters
    ----------
    decision : array_like of shape (N,) or (N, K)
    temperature : float
        As `fit_temperature` returns it.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Rows sum to 1; K is 2 for one value a row.

    Examples
    --------
    >>> probabilities([0.0, 1.0], np.log(3)).round(4).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    return _softmax(temperature * _columns(decision))


def log_loss(decision, y, temperature: float) -> float:
    """Return the mean of the negative logarithms of the probabilities of the labels.

    Parameters
    ----------
    decision, y
        As `fit_temperature` takes them.
    temperature : float

    Examples
    --------
    >>> round(log_loss([0.0, 0.0], [0, 1], 1.0), 4)
    0.6931
    """
    logits = temperature * _columns(decision)
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - _of_label(logits, y)).mean())


class LinearDecision:
    """What linear heads share: labels to indices, and from `coef_` to probabilities.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of float64, shape (1, D) for two classes, else (K, D)
        Of the features as they come.
    intercept_ : ndarray of float64, shape (1,) or (K,)
    temperature_ : float
        As `fit_temperature` returns it.
    """

    def decision_function(self, X):
        """Return the decision values.

        Returns
        -------
        ndarray of float64, shape (N,) for two classes, else (N, K)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return self._decision(X)

    def predict_proba(self, X):
        """Return the probability of each class.

        Returns
        -------
        ndarray of float64, shape (N, K)
        """
        return probabilities(self.decision_function(X), self.temperature_)

    def predict(self, X):
        """Return the most probable class of each row."""
        decision = self.decision_function(X)
        numbers = (decision > 0).astype(int) if decision.ndim == 1 else decision.argmax(axis=1)
        return self.classes_[numbers]

    def _decision(self, X: np.ndarray) -> np.ndarray:
        return flat(X @ self.coef_.T + self.intercept_)

    def _set_raw(self, coef: np.ndarray, intercept, mean: np.ndarray, scale: np.ndarray) -> None:
        """Keep coefficients, shape (1 or K, D), of standardized features as those of raw ones."""
        self.coef_ = coef / scale
        self.intercept_ = intercept - self.coef_ @ mean

    def _encoded(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        """Return checked training rows and the index of each row's class."""
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a head needs two classes; the labels hold one class: {self.classes_[0]!r}")
        return X, numbers

    def _encoded_validation(self, X_val, y_val) -> tuple[np.ndarray, np.ndarray] | None:
        """Return checked validation rows and the index of each row's class, or None if there are none."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together; one came alone: pass both or neither")
        if X_val is None:
            return None
        X_val, y_val = validate_data(self, X_val, y_val, dtype=(np.float64, np.float32), reset=False)
        unknown = np.setdiff1d(y_val, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y_val holds classes that y does not: {unknown.tolist()}; "
                f"y has {self.classes_.tolist()}: leave those rows out"
            )
        return X_val, np.searchsorted(self.classes_, y_val)


def flat(decision: np.ndarray) -> np.ndarray:
    """Turn decision values of one column into a vector; others stay as they are.

    Examples
    --------
    >>> flat(np.zeros((3, 1))).shape, flat(np.zeros((3, 4))).shape
    ((3,), (3, 4))
    """
    return decision[:, 0] if decision.shape[1] == 1 else decision


def smoothing_of(rows: int) -> float:
    """Return the smoothing that keeps a factor finite and hardly moves one fitted on many rows.

    It is the share of errors to expect after that many rows without one: Laplace's rule of succession.

    Examples
    --------
    >>> smoothing_of(98)
    0.01
    """
    return 1 / (rows + 2)


def _columns(decision) -> np.ndarray:
    """Return one column a class: the softmax of (0, d) is the sigmoid of d."""
    decision = np.asarray(decision, np.float64)
    return decision if decision.ndim == 2 else np.stack([np.zeros_like(decision), decision], axis=1)


def _of_label(columns: np.ndarray, y) -> np.ndarray:
    return np.take_along_axis(columns, np.asarray(y)[:, None], axis=1)[:, 0]


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
