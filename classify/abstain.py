"""The old place of `classify.Detector`, for one version."""

import warnings

from classify.bundle.detector import Detector

__all__ = ["Detector"]
warnings.warn(
    "write `from classify import Detector`: classify.abstain goes with the next version", FutureWarning, 2
)
