"""What is found in features before the page is laid out: suspects, copies, odd images, what to label."""

from dataclasses import dataclass, field

from classify.audit.audit import audit
from classify.audit.duplicates import Duplicates
from classify.audit.findings import Finding
from classify.audit.suggest import Suggestion, Unlabelled, suggest
from classify.bundle.bundle import Bundle
from classify.features.images import Images
from classify.features.matrix import FeatureMatrix

_SUGGESTED = 48  # unlabelled images
_READ = 20_000  # images, beyond which reading them all for what is odd takes minutes


@dataclass(frozen=True)
class Found:
    """What an audit of features finds, and which images to label next.

    Attributes
    ----------
    findings : tuple of Finding
    duplicates : Duplicates or None
    suggested : tuple of Suggestion
        Unlabelled images that the head would gain most from; empty where there are none.
    estimate : str
        How many labels are wrong, with its interval; empty where that is not known.
    """

    findings: tuple[Finding, ...] = ()
    duplicates: Duplicates | None = field(default=None, repr=False)
    suggested: tuple[Suggestion, ...] = ()
    estimate: str = ""


def find(bundle: Bundle, features: FeatureMatrix, images: Images | None) -> Found:
    """Audit features, and choose unlabelled images for a head.

    Parameters
    ----------
    bundle : Bundle
    features : FeatureMatrix
    images : Images or None
        Looked at for shortcuts and odd images, unless they are very many.
    """
    few = images if images is not None and len(images) <= _READ else None
    suggested = _suggested(bundle, features)
    audited = audit(features, few)
    estimate = audited.label_errors.sentence().partition("; ")[0] if audited.label_errors else ""
    return Found(audited.findings, audited.duplicates, suggested, estimate)


def _suggested(bundle: Bundle, features: FeatureMatrix) -> tuple[Suggestion, ...]:
    unlabelled = Unlabelled.of(features, {features.digests[row].tobytes() for row in features.left_out})
    if not len(unlabelled.rows):
        return ()
    return tuple(suggest(bundle, features, _SUGGESTED, unlabelled))
