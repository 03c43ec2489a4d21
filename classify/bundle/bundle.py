"""What training saves: the head, its classes, the recipes of its features, its scores."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import Queue

import numpy as np
from numpy.typing import ArrayLike

from classify.bundle.checked_head import check_head, checked_rows
from classify.bundle.detector import Detector
from classify.bundle.folder import BundleContents, read_bundle, write_bundle
from classify.bundle.predict import Opening, Predictor, open_engines
from classify.bundle.prediction import Prediction
from classify.features.blocks import proba_of
from classify.features.matrix import FeatureMatrix, names_text, sets_text
from classify.head import Head, chosen_by
from classify.scores.conformal import Conformal
from classify.scores.cross_validation import cross_validate
from classify.scores.evaluate import evaluate, of_all_classes
from classify.scores.temperature import Calibration, calibration_of, head_proba, tempered
from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from extract.given import Image

_RECORDED = ("headstart", "numpy", "scikit-learn", "keras", "tensorflow", "skops")


@dataclass(frozen=True, repr=False)
class Bundle(BundleContents):
    """A trained head with all that is needed to use it; make one with `Bundle.of`."""

    def __repr__(self) -> str:
        accuracies = {name: scores["accuracy"]["value"] for name, scores in self.scores.items()}
        scores = ", ".join(f"{name} {value:.4f}" for name, value in accuracies.items())
        knows = "tells what is unknown" if self.detector else "cannot tell what is unknown"
        return (
            f"Bundle of {self.name}, trained on {sets_text(self.feature_sets)}\n"
            f"  {names_text(self.class_names)}\n"
            f"  accuracy: {scores or 'not measured'}\n  temperature {self.temperature:.3g}, {knows}"
        )

    @classmethod
    def of(
        cls,
        head: Head,
        features: FeatureMatrix,
        name: str | None = None,
        *,
        calibrate: bool | Calibration | None = None,
    ) -> "Bundle":
        """Put a fitted head together with what its features say.

        The test rows are not read.

        Parameters
        ----------
        head : scikit-learn classifier
            Fitted on `features`.
        features : FeatureMatrix
        name : str, optional
            By default the class of the head.
        calibrate : bool, Calibration or None
            Whether a temperature is fitted, which leaves every decision as it is. None: where there are
            rows that the head did not see, see `classify.scores.temperature.calibration_of`; True refuses
            where there are none. A `Calibration` is one that was fitted already.

        Raises
        ------
        HeadstartError
            If the head is not fitted on these labels or gives no probabilities, or there are no
            rows to calibrate on.
        """
        check_head(head, features)
        provenance = {
            "rows": {split: len(features.rows(split)) for split in SPLIT_NAMES},
            "versions": {package: found for package in _RECORDED if (found := _version(package))},
        }
        if chosen := chosen_by(head):
            provenance["chosen"] = chosen
        if features.corrections is not None:
            provenance["corrections"] = features.corrections.to_dict()
        calibration = calibration_of(head, features, calibrate)
        if calibration is not None:
            provenance["calibration"] = calibration.to_dict()
        bundle = cls(
            head=head,
            name=name or type(head).__name__,
            class_names=features.class_names,
            feature_sets=features.feature_sets,
            scores={},
            provenance=provenance,
            temperature=1.0 if calibration is None else calibration.temperature,
            detector=Detector.of(features),
            seen=features.training_images(),
        )
        return bundle._judged(features)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class of `class_names`; of those never trained, 0.

        Parameters
        ----------
        X : array_like of shape (N, D)
            Features by the bundle's recipes.

        Returns
        -------
        ndarray of float64, shape (N, K)

        Raises
        ------
        HeadstartError
            If these are no rows of such features, or not finite.
        """
        proba = head_proba(self.head, checked_rows(self.head, X), self.temperature)
        return of_all_classes(proba, self.head.classes_, len(self.class_names))

    def predict(
        self,
        images: Image | Sequence[Image],
        abstain: float | None = None,
        *,
        top_k: int | None = None,
        coverage: float | None = None,
    ) -> list[Prediction]:
        """Classify image files, folders, bytes or arrays; see `classify.bundle.predict.predict`."""
        return Predictor(self)(images, abstain, top_k=top_k, coverage=coverage)

    def predictor(self) -> Predictor:
        """Return what classifies images again and again with the engines kept open, as a service does.

        Returns
        -------
        classify.bundle.predict.Predictor

        Examples
        --------
        >>> with Bundle.load("photos-logistic").predictor() as predict:  # doctest: +SKIP
        ...     labels = [predict(path)[0].label for path in ("one.jpg", "two.jpg")]
        """
        return Predictor(self)

    def evaluate(self, features: FeatureMatrix, split: str = "test") -> dict:
        """Return the scores on one split of feature files.

        Parameters and errors are those of `predict_split`.
        """
        y, proba = self.predict_split(features, split)
        return {"split": split, **evaluate(y, proba, self.class_names)}

    def predict_split(self, features: FeatureMatrix, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of one split of feature files, and the probabilities of each class.

        Parameters
        ----------
        features : FeatureMatrix
        split : str

        Raises
        ------
        HeadstartError
            If the files have other recipes, the split has no labelled rows or some of unknown classes,
            or images that training saw are in another split; `FeatureMatrix.without` leaves them out.
        """
        features = self.select(features, split)
        if split != "train":
            features.refuse_seen(split, self.seen)
        X, y = features.split(split)
        if not len(y):
            counts = {name: len(features.rows(name)) for name in SPLIT_NAMES}
            raise HeadstartError(
                f"{features.path!r} has no labelled rows in the split {split!r}",
                "a split with rows",
                ", ".join(f"{name} {count}" for name, count in counts.items()),
                "choose another --split, or --cv for small sets",
            )
        return y, self.predict_proba(X)

    def select(self, features: FeatureMatrix, *splits: str) -> FeatureMatrix:
        """Return the columns that the head takes, with labels that are matched to its classes by name.

        Parameters
        ----------
        features : FeatureMatrix
        *splits : str
            In which no other classes may be; by default in none.

        Raises
        ------
        HeadstartError
            If recipes or layers differ, or there are rows of classes that the head has not.
        """
        return features.select(self.feature_sets).with_classes(self.class_names, *(splits or SPLIT_NAMES))

    def trained_on(self, features: FeatureMatrix) -> bool:
        """Tell whether the head was trained on one of these feature files, as they are."""
        files = [{each.content_digest for each in one.feature_sets} for one in (self, features)]
        return not files[0].isdisjoint(files[1])

    def save(self, folder: str | Path) -> "Bundle":
        """Write the bundle; an existing one is replaced, any other folder is refused.

        Parameters
        ----------
        folder : str or Path
            Gets ``bundle.json``, ``head.skops`` or ``head.keras``, ``seen.npy``, ``detector.npz``,
            ``conformal.npy`` and, where the backbone was fine-tuned, ``backbone.weights.h5``.

        Returns
        -------
        Bundle
            Itself.
        """
        write_bundle(Path(folder), self)
        return self

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Read a bundle; nothing in it is run.

        Raises
        ------
        HeadstartError
            If the folder is no bundle, or of another version.
        """
        return cls(**vars(read_bundle(Path(folder))))

    @classmethod
    def load_predictor(cls, folder: str | Path) -> Predictor:
        """Read a bundle while its engines open in a thread, as a command does that is used once.

        Raises
        ------
        HeadstartError
            As `load` raises it.

        Examples
        --------
        >>> with Bundle.load_predictor("photos-logistic") as predict:  # doctest: +SKIP
        ...     label = predict("new.jpg")[0].label
        """
        thread, opening = ThreadPoolExecutor(1, "open"), Queue[Opening]()
        contents = read_bundle(Path(folder), lambda sets: opening.put(thread.submit(open_engines, sets)))
        thread.shutdown(wait=False)
        return Predictor(cls(**vars(contents)), opening.get())

    def cross_conformal(self, features: FeatureMatrix, folds: int) -> "Bundle":
        """Return the bundle with sets of labels by a cross-validation, instead of by the validation rows.

        For each fold a head like ours learns from the others, so this takes folds times the training.

        Parameters
        ----------
        features : FeatureMatrix
            That the head was trained on, in memory.
        folds : int
            Stratified; rows of one group are in one fold.

        Raises
        ------
        HeadstartError
            If a class has fewer rows than there are folds.
        """
        validated = cross_validate(self.head, features, folds)
        proba = tempered(validated.proba, self.temperature)
        scored = Conformal.of(proba, validated.y, f"{folds} folds")
        return replace(self, conformal=scored)

    def _judged(self, features: FeatureMatrix) -> "Bundle":
        """Return the bundle with the scores of what it was trained on, and with what tells sets of labels."""
        scores, conformal = {}, None
        for split in ("train", "validation"):
            rows = features.rows(split)
            if len(rows):
                proba = proba_of(self.predict_proba, features.X, rows, features.ids)
                scores[split] = evaluate(features.y[rows], proba, self.class_names)
        unseen = np.isin(rows, features.without("validation", self.seen).rows("validation"))
        if unseen.any():  # the loop ends with the validation rows
            conformal = Conformal.of(proba[unseen], features.y[rows[unseen]], "validation rows")
        return replace(self, scores=scores, conformal=conformal)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
