"""A small Keras net over features, as a scikit-learn classifier."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data


class KerasHead(ClassifierMixin, BaseEstimator):
    """Dropout and one dense layer, trained with Adam: the head of the Keras guide.

    Two classes get one logit and a sigmoid, more get one logit each and a softmax.

    Parameters
    ----------
    dropout : float
        Share of the features that a training step does not see.
    learning_rate : float
        Of Adam.
    epochs : int
    batch_size : int
    seed : int
        Of the first weights, the order of the rows and the dropout.

    Attributes
    ----------
    classes_ : ndarray
    model_ : keras.Model
        From features to logits.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> head = KerasHead(dropout=0, learning_rate=0.1, epochs=20).fit(X, y)
    >>> head.predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    def __init__(self, dropout=0.2, learning_rate=1e-3, epochs=20, batch_size=32, seed=0):
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X, y):
        """Train on features.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)

        Returns
        -------
        self
        """
        import keras

        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a head needs two classes; the labels hold one class: {self.classes_[0]!r}")
        self.model_ = self._build(X.shape[1])
        losses = keras.losses
        loss = losses.SparseCategoricalCrossentropy if len(self.classes_) > 2 else losses.BinaryCrossentropy
        self.model_.compile(keras.optimizers.Adam(self.learning_rate), loss(from_logits=True))
        generator = np.random.default_rng(self.seed)  # Keras' own order depends on global state
        for _ in range(self.epochs):
            order = generator.permutation(len(X))
            self.model_.fit(X[order], targets[order], batch_size=self.batch_size, shuffle=False, verbose=0)
        return self

    def predict_proba(self, X):
        """Return the probability of each class.

        Returns
        -------
        ndarray of float64, shape (N, number of classes)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        logits = np.asarray(self.model_(X, training=False), np.float64)
        if logits.shape[1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Return the most probable class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _build(self, width: int):
        import keras

        units = len(self.classes_) if len(self.classes_) > 2 else 1
        start = keras.initializers.GlorotUniform(seed=self.seed)
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((width,)),
                layers.Dropout(self.dropout, seed=self.seed),
                layers.Dense(units, kernel_initializer=start, name="logits"),
            ]
        )
