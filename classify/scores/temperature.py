"""The temperature of a head: one factor fitted on rows that it did not see, and what that gained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from classify.features.blocks import proba_of
from classify.head import Head
from classify.scores.evaluate import losses
from data.errors import HeadstartError

if TYPE_CHECKING:  # files of features, which heads do not need
    from classify.features.matrix import FeatureMatrix

_LEAST = 1e-15  # what a probability of 0 counts as, or the least other one of its row
_PRIOR_ROWS = 30  # that speak for the factor 1
_LEAST_GAIN = 1e-6  # of the log loss: rounding gives as much
_SMALL = 1e-3  # a probability below that is told by 1 - p with less than four digits in float32


@dataclass(frozen=True)
class Calibration:
    """A temperature, the rows that it was fitted on, and their log loss without it and with it.

    Attributes
    ----------
    temperature : float
        Of Guo et al. (2017): the logarithms of a head's probabilities are divided by it. 1 where none
        lowers the log loss.
    by : str
        The rows, in words: ``validation rows``, or ``training rows by 5 folds``.
    rows : int
    log_loss_before, log_loss_after : float
        Of these rows; what comes after is never higher. The temperature has seen them: of other rows
        it is somewhat higher.
    """

    temperature: float
    by: str
    rows: int
    log_loss_before: float
    log_loss_after: float

    @classmethod
    def of(cls, proba: ArrayLike, y: ArrayLike, by: str) -> "Calibration":
        """Fit a temperature to probabilities of rows, each by a head that did not see the row.

        Labels are smoothed as `classify.scores.calibration.smoothing_of` says, and 30 rows speak for the
        temperature 1, so that few rows do not move it far. Where it does not lower the log loss it is 1.

        Parameters
        ----------
        proba : array_like of shape (N, K)
            Of N rows, at least one.
        y : array_like of int, shape (N,)
            Indices into the columns.
        by : str
            What the rows are, in words.

        Examples
        --------
        Too sure by far: one in four is wrong.

        >>> found = Calibration.of([[0.01, 0.99]] * 400, [1, 1, 1, 0] * 100, "validation rows")
        >>> found.temperature > 3, round(found.log_loss_before, 4), round(found.log_loss_after, 4)
        (True, 1.1588, 0.5631)
        """
        return cls.of_logits(_logarithms(np.asarray(proba, np.float64)), y, by)

    @classmethod
    def of_logits(cls, logits: np.ndarray, y: ArrayLike, by: str) -> "Calibration":
        """Do as `of` of probabilities whose logarithms are known, but for a constant of each row."""
        from classify.scores.calibration import fit_inverse_temperature, probabilities, smoothing_of

        labels = np.asarray(y)
        factor = fit_inverse_temperature(logits, labels, smoothing_of(len(labels)), _PRIOR_ROWS)
        before, after = (float(losses(labels, probabilities(logits, each)).mean()) for each in (1.0, factor))
        if before - after <= _LEAST_GAIN * before:
            return cls(1.0, by, len(labels), before, before)
        return cls(1 / factor, by, len(labels), before, after)

    def to_dict(self) -> dict[str, Any]:
        """Return the values, ready for JSON."""
        return asdict(self)


def calibration_text(calibration: Mapping[str, Any]) -> str:
    """Say which temperature was fitted, on which rows, and what it gained there.

    Parameters
    ----------
    calibration : mapping
        As `Calibration.to_dict` returns it.

    Examples
    --------
    >>> calibration_text(Calibration(1.25, "validation rows", 60, 0.5, 0.45).to_dict())
    '1.2500: log loss 0.5000 before, 0.4500 after, of 60 validation rows'
    >>> calibration_text(Calibration(1.0, "validation rows", 60, 0.5, 0.5).to_dict())
    '1: none lowers the log loss 0.5000 of 60 validation rows'
    """
    rows, before = f"of {calibration['rows']} {calibration['by']}", calibration["log_loss_before"]
    if calibration["temperature"] == 1:
        return f"1: none lowers the log loss {before:.4f} {rows}"
    gained = f"log loss {before:.4f} before, {calibration['log_loss_after']:.4f} after"
    return f"{calibration['temperature']:.4f}: {gained}, {rows}"


def tempered(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities whose logarithms are divided by a temperature; the same ones where it is 1.

    Parameters
    ----------
    proba : ndarray of shape (N, K)
    temperature : float

    Returns
    -------
    ndarray of float64, shape (N, K)
        The most probable class of each row is the same.

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(4).tolist()
    [[0.6667, 0.3333]]
    """
    if temperature == 1:
        return proba
    from classify.scores.calibration import probabilities

    return probabilities(_logarithms(proba), 1 / temperature)


def head_logits(head: Head, X: np.ndarray) -> np.ndarray:
    """Return logarithms of the probabilities of a head, but for a constant of each row.

    Probabilities round: 1 - p says little of what is left of a p near 1, and 1e-400 is 0. A temperature would
    make much of that. Where the softmax of a head's decision values gives its probabilities, these are taken.

    Parameters
    ----------
    head : scikit-learn classifier
        Fitted.
    X : ndarray of shape (N, D)

    Returns
    -------
    ndarray of float64, shape (N, K)

    Examples
    --------
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> head = LinearDiscriminantAnalysis().fit([[0.0], [4.0], [6.0], [10.0]], [0, 0, 1, 1])
    >>> head.predict_proba([[95.0]]).tolist(), head_logits(head, [[95.0]]).round(2).tolist()
    ([[0.0, 1.0]], [[0.0, 135.0]])
    """
    from classify.scores.calibration import columns, probabilities

    proba = head.predict_proba(X)
    if not hasattr(head, "decision_function") or proba.min(initial=1) >= _SMALL:
        return _logarithms(proba)
    decision = columns(head.decision_function(X))
    same = decision.shape == proba.shape and np.allclose(probabilities(decision), proba, rtol=0, atol=1e-6)
    return decision if same else _logarithms(proba)


def head_proba(head: Head, X: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities of a head, with a temperature.

    Parameters
    ----------
    head : scikit-learn classifier
        Fitted.
    X : ndarray of shape (N, D)
    temperature : float

    Returns
    -------
    ndarray of shape (N, K)
    """
    if temperature == 1:
        return head.predict_proba(X)
    from classify.scores.calibration import probabilities

    return probabilities(head_logits(head, X), 1 / temperature)


def calibration_of(
    head: Head, features: "FeatureMatrix", wanted: bool | Calibration | None
) -> Calibration | None:
    """Return the calibration of a head that was just trained, or None.

    A temperature needs rows that the head did not see. These are the validation rows, less images that
    the training rows show too and classes that the head has not; where there are none, the training rows
    by the folds that chose the penalty of `logistic`, each judged by a fit to the others. Where there are
    none of these either, the probabilities stay as they are.

    Parameters
    ----------
    head : scikit-learn classifier
        Fitted on `features`.
    features : FeatureMatrix
    wanted : bool, Calibration or None
        None as above; True refuses where there are no such rows; False wants none; what was fitted on
        other rows, as by a cross-validation, is taken as it is.

    Raises
    ------
    HeadstartError
        If there are no rows and `wanted` is True.
    """
    if isinstance(wanted, Calibration):
        return wanted
    if wanted is False:
        return None
    found = _by_validation(head, features) or _by_folds(head)
    if found is None and wanted:
        raise HeadstartError(
            "a temperature needs labelled rows that the head did not see",
            "validation rows of its classes, whose images are not among the training rows, or logistic, "
            "which chooses its penalty by folds of the training rows",
            f"no such rows in {features.path!r}",
            "extract more images with labels, or leave --calibrate out",
        )
    return found


def _by_validation(head: Head, features: "FeatureMatrix") -> Calibration | None:
    rows = features.without("validation", features.training_images()).rows("validation")
    rows = rows[np.isin(features.y[rows], head.classes_)]
    if not len(rows):
        return None
    logits = proba_of(partial(head_logits, head), features.X, rows, features.ids)
    return Calibration.of_logits(logits, np.searchsorted(head.classes_, features.y[rows]), "validation rows")


def _by_folds(head: Head) -> Calibration | None:
    own = head.steps[-1][1] if hasattr(head, "steps") else head
    return getattr(own, "calibration_", None)


def _logarithms(proba: np.ndarray) -> np.ndarray:
    """Return logarithms; a probability of 0 counts as 1e-15, or as the least one of its row below that."""
    least = np.where(proba > 0, proba, _LEAST).min(axis=1, keepdims=True, initial=_LEAST)
    return np.log(np.maximum(proba, least))
