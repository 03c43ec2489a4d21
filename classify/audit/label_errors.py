"""How many labels are wrong, with an interval."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from classify.audit.out_of_fold import OutOfFold
from classify.audit.suspects import disagreements
from classify.scores.intervals import Interval
from data.text import counted

_BINS = 500  # of rows alike in how sure heads are, which bound the time
_RATES, _MOST_RATE = 80, 0.6  # that are tried, the largest of them
_HALF = 1.92  # of the log likelihood, within which 95 % intervals lie: half the quantile of chi-square
_STEPS = 120
_CLOSEST = 1e-6  # to a probability of 0 or 1


@dataclass(frozen=True)
class LabelErrors:
    """How many labels are wrong.

    Attributes
    ----------
    rows : int
        Labels that were judged.
    count : Interval
        Of wrong labels that fall on any image alike, whatever the wrong class, with its 95 % interval.
    disagreements : int
        Labels that are not the most probable class: no more wrong ones can be told, wherever they fall.
    """

    rows: int
    count: Interval
    disagreements: int

    def to_dict(self) -> dict:
        """Return it as JSON-ready values."""
        return {"rows": self.rows, "count": self.count.to_dict(), "disagreements": self.disagreements}

    def sentence(self) -> str:
        """Say it in a line.

        Examples
        --------
        >>> LabelErrors(200, Interval(9.6, 4.2, 15.1), 31).sentence()
        'about 10 [4, 16] of 200 labels are wrong; heads disagree with 31'
        """
        low, high = int(self.count.low), int(np.ceil(self.count.high))
        told = f"about {round(self.count.value)} [{low}, {high}] of {counted(self.rows, 'label')} are wrong"
        return f"{told}; heads disagree with {self.disagreements}"


def label_errors(judged: OutOfFold) -> LabelErrors:
    """Estimate how many labels are wrong from where heads disagree with them.

    A head errs less the surer it is; a wrong label contradicts it however sure it is. So the share of
    disagreements over the logit of the highest probability is a logistic curve that falls to the rate
    of wrong labels: the psychometric function with its lapse rate (F. A. Wichmann and N. J. Hill
    (2001), Perception & Psychophysics 63, 1293-1313). The interval is that of the profile likelihood.

    Wrong labels that all fall where heads are unsure look as hard images do; they are not counted.

    Parameters
    ----------
    judged : OutOfFold

    Examples
    --------
    >>> generator, rows = np.random.default_rng(0), np.arange(4000)
    >>> y, sure = generator.integers(0, 2, 4000), expit(generator.normal(3, 2, 4000))
    >>> proba = np.where(y[:, None] == [0, 1], sure[:, None], 1 - sure[:, None]).astype(np.float32)
    >>> y[:200] = 1 - y[:200]
    >>> found = label_errors(OutOfFold(rows, y, proba, 5, 1e-3, 4000, rows[:0])).count
    >>> found.low < 200 < found.high < 300
    True
    """
    wrong = judged.proba.argmax(axis=1) != judged.y
    sure, rows, disagreeing = _binned(judged.proba.max(axis=1), wrong)
    rates = np.concatenate([[0], np.geomspace(0.5 / len(wrong), _MOST_RATE, _RATES)])
    losses = _profile(rates, sure, rows, disagreeing)
    best = int(losses.argmin())
    inside = np.flatnonzero(losses <= losses[best] + _HALF)
    low, high = rates[max(0, inside[0] - 1)], rates[min(_RATES, inside[-1] + 1)]
    count = Interval(*(float(len(wrong) * rate) for rate in (rates[best], low, high)))
    return LabelErrors(len(wrong), count, len(disagreements(judged)))


def _binned(proba: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean logit, standardized, the rows and the disagreements of rows alike in probability."""
    order = np.argsort(proba, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    logits = logit(np.clip(proba.astype(np.float64), _CLOSEST, 1 - _CLOSEST))
    means = np.array([logits[part].mean() for part in parts])
    rows = np.array([len(part) for part in parts], float)
    return (
        (means - logits.mean()) / max(logits.std(), _CLOSEST),
        rows,
        np.array([wrong[part].sum() for part in parts], float),
    )


def _profile(rates: np.ndarray, sure: np.ndarray, rows: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return for each rate of wrong labels the negative log likelihood of the best curve above it."""
    from scipy.optimize import minimize

    def loss(curve: np.ndarray, rate: float) -> float:
        share = rate + (1 - rate) * expit(-(curve[0] + np.exp(curve[1]) * sure))
        share = np.clip(share, _CLOSEST, 1 - _CLOSEST)
        return float(-(wrong @ np.log(share) + (rows - wrong) @ np.log1p(-share)))

    found, curve = np.empty(len(rates)), np.array([2.0, 0.0])
    for place, rate in enumerate(rates):
        best = minimize(loss, curve, args=(rate,), method="Nelder-Mead", options={"maxiter": _STEPS})
        found[place], curve = best.fun, best.x
    return found
