"""How many images may be broken before a run refuses to write its file."""

from pathlib import Path

from data.errors import HeadstartError, UsageError
from extract.feature_file.contents import Contents


def allowed_rejections(max_bad: str | int, rows: int) -> float:
    """Return how many of so many rows may be rejected.

    Raises
    ------
    HeadstartError
        If `max_bad` is neither a share nor a number.

    Examples
    --------
    >>> allowed_rejections("10%", 50), allowed_rejections(3, 50)
    (5.0, 3.0)
    """
    try:
        share = str(max_bad).endswith("%")
        number = float(str(max_bad).removesuffix("%"))
        if number >= 0:
            return number / 100 * rows if share else number
    except ValueError:
        pass
    raise UsageError(
        "--max-bad is not a number", "a share as 10% or a number of images", str(max_bad), "correct it"
    )


def check_rejections(folder: Path, path: Path, contents: Contents, max_bad: str | int) -> None:
    """Raise if too many rows are rejected for the file to be written.

    Parameters
    ----------
    folder : Path
        Where the parts are kept.
    path : Path
        The feature file.
    contents : Contents
        What would be written.
    max_bad : str or int
        As `allowed_rejections` takes it.

    Raises
    ------
    HeadstartError
    """
    bad = contents.rejected
    total = len(bad) + len(contents.ids)
    allowed = allowed_rejections(max_bad, total)
    if contents.ids and len(bad) <= allowed:
        return
    shown = "; ".join(f"{row.id}: {row.reason}" for row in bad[:5])
    raise HeadstartError(
        f"{len(bad)} of {total} images were rejected, so {str(path)!r} was not written",
        f"at most {allowed:g} (--max-bad)" if contents.ids else "at least one image that can be decoded",
        shown + (f"; and {len(bad) - 5} more" if len(bad) > 5 else ""),
        f"mend or remove them, or allow more with --max-bad; what was computed is kept in {folder}"
        if contents.ids
        else "mend the images",
    )
