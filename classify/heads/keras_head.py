"""A small Keras net over features, as a scikit-learn classifier."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from classify.features.blocks import Blocks, fit_scaler, ordered_parts, standardize
from classify.heads.linear import Hyperparameters, Schedule, train_linear
from classify.heads.linear_decision import encoded, encoded_validation, of_raw_features, row_weights
from classify.heads.net import KerasCallbacks, build_net, compile_net, standardized, train_net
from classify.heads.parameters import KERAS
from classify.scores.calibration import flat, number_of_logits, probabilities
from classify.scores.evaluate import losses
from data.allowed import check_values
from data.lists import as_list
from extract.backbones.keras_backend import need_tensorflow

if TYPE_CHECKING:  # seconds of TensorFlow, which a linear head does not need
    import keras

Rows = tuple[np.ndarray | Blocks, np.ndarray]  # features, and the index of each row's class
Epoch = tuple[float, Callable[[], Sequence[np.ndarray]]]  # its loss, and what returns its weights
OnEpoch = Callable[[dict[str, float]], bool | None]
_HELD_OUT = 0.1  # share of the rows for early stopping where none are given


class KerasHead(ClassifierMixin, BaseEstimator):
    """Dropout and dense layers, trained with Adam: the head of the Keras guide, and larger ones.

    Two classes get one logit and a sigmoid, more get one logit each and a softmax. Without
    hidden layers the head is linear and trains in numpy, which needs no TensorFlow.

    Parameters
    ----------
    hidden : int or sequence of int
        Units of each hidden layer (ReLU).
    dropout : float
        Share of the features that a training step does not see.
    learning_rate : float
        Of Adam.
    l2 : float
        This times the sum of squared weights is added to the loss.
    standardize : bool
        Bring every feature to mean 0 and deviation 1 first.
    epochs, batch_size : int
    patience : int or None
        Stop where the validation loss has not fallen for so many epochs, and keep the best
        weights; None trains all epochs and keeps the last.
    class_weight : None, "balanced" or dict
        Of the losses of each class.
    build : callable, optional
        ``build(width, units)`` returns a Keras model of your own from features to logits.
    callbacks : tuple of keras.callbacks.Callback
    seed : int
        Of the first weights, the order of the rows and the dropout.

    Attributes
    ----------
    classes_ : ndarray
    coef_, intercept_ : ndarray of shape (U, D), (U,)
        Of a linear head; U is 1 for two classes.
    model_ : keras.Model
        Of any other: from features to logits.
    history_ : list of dict
        ``loss`` and, with validation rows, ``val_loss`` of each epoch.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> head = KerasHead(dropout=0, learning_rate=0.1, epochs=20).fit(X, y)
    >>> head.predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (),
        dropout: float = 0.2,
        learning_rate: float = 1e-3,
        l2: float = 0.0,
        standardize: bool = False,
        epochs: int = 20,
        batch_size: int = 32,
        patience: int | None = None,
        class_weight: str | Mapping[object, float] | None = None,
        build: Callable[[int, int], "keras.Model"] | None = None,
        callbacks: Sequence["keras.callbacks.Callback"] = (),
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.l2 = l2
        self.standardize = standardize
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.class_weight = class_weight
        self.build = build
        self.callbacks = callbacks
        self.seed = seed

    @classmethod
    def from_weights(
        cls, classes: np.ndarray, coef: np.ndarray, intercept: np.ndarray, **params: Any
    ) -> "KerasHead":
        """Make a linear head of weights that were trained elsewhere.

        Parameters
        ----------
        classes : ndarray of shape (K,)
        coef : ndarray of shape (U, D)
        intercept : ndarray of shape (U,)
        **params
            As the class takes them.

        Examples
        --------
        >>> head = KerasHead.from_weights(np.array(["cat", "dog"]), np.array([[1.0]]), np.zeros(1))
        >>> head.predict([[-3.0], [3.0]]).tolist()
        ['cat', 'dog']
        """
        head = cls(**params)
        head.classes_, head.n_features_in_ = classes, coef.shape[1]
        head.coef_, head.intercept_ = coef, intercept
        return head

    @classmethod
    def from_model(cls, classes: np.ndarray, model: "keras.Model", width: int, **params: Any) -> "KerasHead":
        """Make a head of a Keras model from features (B, width) to logits; see `from_weights`."""
        head = cls(**params)
        head.classes_, head.n_features_in_, head.model_ = classes, width, model
        return head

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> "KerasHead":
        """Train on features.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)
        X_val, y_val : array_like, optional
            Validation rows for `patience`; where they are missing, a tenth of the rows is held
            out, by the seed.
        on_epoch : callable, optional
            Called after each epoch with what `history_` has of it, while the head has its weights;
            True ends the training.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            If a parameter has a value that it may not have.
        """
        check_values(self.get_params(deep=False), KERAS)
        X, targets, classes = encoded(self, X, y, np.float32)
        validation = encoded_validation(self, classes, X_val, y_val, np.float32)
        return self.fit_encoded(X, targets, classes, validation, on_epoch)

    def fit_encoded(
        self,
        X: np.ndarray | Blocks,
        targets: np.ndarray,
        classes: np.ndarray,
        validation: Rows | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> "KerasHead":
        """Train on features whose labels are known to be right.

        Parameters
        ----------
        X : ndarray of float32, or Blocks, of shape (N, D)
        targets : ndarray of int, shape (N,)
            Indices into `classes`.
        classes : ndarray of shape (K,)
        validation : (X, targets), optional
            As the `fit` takes them.
        on_epoch : callable, optional

        Returns
        -------
        self
        """
        self.classes_, self.n_features_in_ = classes, X.shape[1]
        if validation is None and self.patience is not None:
            X, targets, validation = self._hold_out(X, targets)
        self._train(X, targets, validation, on_epoch or (lambda logs: False))
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class.

        Returns
        -------
        ndarray of float64, shape (N, number of classes)
        """
        check_is_fitted(self)
        return self._proba(validate_data(self, X, dtype=np.float32, reset=False))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def to_keras(self) -> "keras.Model":
        """Return the head as a Keras model from features to logits.

        Returns
        -------
        keras.Model
        """
        check_is_fitted(self)
        if self._is_linear():
            model = build_net(self.n_features_in_, len(self.intercept_), (), self.dropout, 0.0, self.seed)
            model.set_weights([self.coef_.T, self.intercept_])
            return model
        return self.model_

    def dense(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the coefficients and intercepts of its logits; None of a net with hidden layers."""
        return (self.coef_, self.intercept_) if hasattr(self, "coef_") else None

    def _is_linear(self) -> bool:
        return not as_list(self.hidden) and self.build is None

    def _hold_out(
        self, X: np.ndarray | Blocks, targets: np.ndarray
    ) -> tuple[np.ndarray | Blocks, np.ndarray, Rows]:
        """Return rows to learn from and rows to stop by; stratified where the classes allow it."""
        fewest = np.bincount(targets).min()
        even = targets if fewest > 1 and len(X) * _HELD_OUT >= len(self.classes_) else None
        how = {"test_size": _HELD_OUT, "stratify": even, "random_state": self.seed}
        if not isinstance(X, Blocks):
            X, X_val, targets, y_val = train_test_split(X, targets, **how)
            return X, targets, (X_val, y_val)
        learn, held_out = (np.sort(rows) for rows in train_test_split(np.arange(len(X)), **how))
        return X.take(learn), targets[learn], (X.take(held_out), targets[held_out])

    def _train(
        self, X: np.ndarray | Blocks, targets: np.ndarray, validation: Rows | None, on_epoch: OnEpoch
    ) -> None:
        mean, scale = _moments(X) if self.standardize else (None, None)
        weights = row_weights(self.class_weight, self.classes_, targets)
        fit = self._fit_linear if self._is_linear() else self._fit_net
        epochs = fit(X, targets, weights, mean, scale)
        least, best = np.inf, next(epochs)[1]()
        callbacks = KerasCallbacks(self.callbacks, self.to_keras, self.learning_rate, self.epochs)
        callbacks.begin()
        self.history_: list[dict[str, float]] = []
        waited = 0
        for loss, state in epochs:
            logs = self._logs(loss, validation)
            self.history_.append(logs)
            waited += 1
            if self.patience is None or logs["val_loss"] < least:
                least, best, waited = logs.get("val_loss", np.inf), state(), 0
            stopped = [callbacks.ended(len(self.history_) - 1, logs), on_epoch(logs)]
            if any(stopped) or waited == self.patience:
                break
        callbacks.end()
        self._restore(best)

    def _logs(self, loss: float, validation: Rows | None) -> dict[str, float]:
        if validation is None:
            return {"loss": loss}
        X, targets = validation
        proba = np.concatenate([self._proba(part) for _, part in ordered_parts(X)])
        return {"loss": loss, "val_loss": float(losses(targets, proba).mean())}

    def _fit_linear(
        self,
        X: np.ndarray | Blocks,
        targets: np.ndarray,
        weights: np.ndarray | None,
        mean: np.ndarray | None,
        scale: np.ndarray | None,
    ) -> Iterator[Epoch]:
        """Train in numpy; yield each epoch's loss and what returns its weights, first those at the start."""
        seen = X if mean is None or scale is None else standardize(X, mean, scale)
        hyperparameters = Hyperparameters(self.learning_rate, self.l2)
        units = number_of_logits(len(self.classes_))
        self.coef_ = np.zeros((units, X.shape[1]), np.float32)
        self.intercept_ = np.zeros(units, np.float32)
        yield np.nan, lambda: [self.coef_, self.intercept_]
        for state in train_linear(seen, targets, units, [hyperparameters], self._schedule(), weights):
            coef, intercept = state.kernels[0].T.copy(), state.biases[0].copy()
            if mean is not None and scale is not None:
                coef, intercept = of_raw_features(coef, intercept, mean, scale)
            self.coef_, self.intercept_ = coef, intercept
            yield float(state.losses[0]), partial(list, (coef, intercept))

    def _fit_net(
        self,
        X: np.ndarray | Blocks,
        targets: np.ndarray,
        weights: np.ndarray | None,
        mean: np.ndarray | None,
        scale: np.ndarray | None,
    ) -> Iterator[Epoch]:
        """Train with Keras; yield as `_fit_linear` does."""
        need_tensorflow("training this net")
        units, width = number_of_logits(len(self.classes_)), X.shape[1]
        hidden = tuple(map(int, as_list(self.hidden)))
        build = self.build or partial(
            build_net, hidden=hidden, dropout=self.dropout, l2=self.l2, seed=self.seed
        )
        net = build(width, units)
        self.model_ = net if mean is None or scale is None else standardized(net, mean, scale)
        compile_net(self.model_, self.learning_rate, units)
        yield np.nan, self.model_.get_weights
        for loss in train_net(self.model_, X, targets, self._schedule(), weights):
            yield loss, self.model_.get_weights

    def _schedule(self) -> Schedule:
        return Schedule(self.epochs, self.batch_size, self.seed, self.dropout)

    def _restore(self, state: Sequence[np.ndarray]) -> None:
        if self._is_linear():
            self.coef_, self.intercept_ = state
        else:
            self.model_.set_weights(state)

    def _proba(self, X: np.ndarray) -> np.ndarray:
        linear = self._is_linear()
        logits = X @ self.coef_.T + self.intercept_ if linear else self.model_(X, training=False)
        return probabilities(flat(np.asarray(logits)))


def _moments(X: np.ndarray | Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each feature; 1 in place of the deviation of constant ones."""
    scaler = fit_scaler(StandardScaler(), X)
    return scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32)
