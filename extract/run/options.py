"""How a run goes about its work, and what it reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from data.allowed import AnyOf, Choice, Table, check_values, whole
from data.lists import as_list
from data.split_rule import SplitRule
from extract.run.plan import Scan

_TABLE: Table = dict.fromkeys(("batch_size", "threads", "replicas"), AnyOf(Choice(None), whole(1)))


@dataclass(frozen=True)
class Options:
    """How a run goes about its work; none of it changes a feature.

    Attributes
    ----------
    engine : str
        What runs the backbone: ``auto``, ``keras`` or ``openvino``; see `extract.engines.engine`.
    batch_size : int or None
        Images that the backbone sees at once; None is what suits the engine.
    threads : int or None
        Of the CPU; None is all that this process may use.
    max_bad : str or int
        Rejected rows that are too many: ``"10%"`` of the source's rows or a number.
    allow_drop : bool
        Go on where more than half of the file's rows or a whole class would leave it.
    reuse : str or Path, or several of them
        Other feature files of the same recipe, from which rows are taken.
    wait : bool
        Wait while another run writes the same file, or raise.
    rehash : bool
        Read every file again, also where size and modification time are as they were.
    layout : str or None
        ``single`` or ``sharded``; None is what the output has, ``single`` for a new one.
    replicas : int or None
        Workers at once, where the map has several; None is as many as it has room for.
    split : SplitRule, str or None
        How rows that name no split get one, or the name of a `data.split_rule.SplitRule`; None is
        what the output has, ``hash`` for a new one.
    scan : Scan or None
        What `extract.run.scan.scan_source` found just now, where the caller needed it too, so that
        nothing is read twice.

    Raises
    ------
    UsageError
        If a number is below 1, or a split rule is unknown.
    """

    engine: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    max_bad: str | int = "10%"
    allow_drop: bool = False
    reuse: str | Path | Sequence[str | Path] = ()
    wait: bool = True
    rehash: bool = False
    layout: str | None = None
    replicas: int | None = None
    split: SplitRule | str | None = None
    scan: Scan | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_values(vars(self), _TABLE)
        object.__setattr__(self, "reuse", tuple(as_list(self.reuse)))
        if self.split is not None and not isinstance(self.split, SplitRule):
            object.__setattr__(self, "split", SplitRule(self.split))

    @property
    def others(self) -> list[Path]:
        """The files of `reuse`."""
        return [Path(path) for path in as_list(self.reuse)]

    @property
    def split_rule(self) -> SplitRule | None:
        """The rule of `split`."""
        return self.split if isinstance(self.split, SplitRule) else None


PLACES = {item.name: f"Options({item.name}=...)" for item in fields(Options)}  # of keywords of before


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes
    ----------
    file : str
    recipe_key : str
    rows : int
        Rows with features in the file; ``computed + reused``.
    computed : int
        Images that this run sent through the backbone.
    reused : int
        Rows whose feature was known.
    reused_from : dict of str to int
        The same by where it was known from: ``file``, ``parts`` of an interrupted run,
        ``others`` (`Options.reuse`), ``twins`` (an equal image in this run).
    dropped : int
        Rows that were in the file, or in finished parts, and whose image no row holds any more.
    replaced : int
        Rows of the file whose name now stands for another image.
    before : str
        Where the features of the two are kept, empty if there are none.
    moved : dict of str to int
        Images that the file held before with another ``label``, ``split`` or ``group``.
    rejected : int
        Rows of the source without a feature.
    rejections : tuple of (str, str)
        Id and reason of each.
    classes : int
        Different known labels in the file.
    trained_classes : int
        Those among its training rows: a head needs two.
    unlabelled : int
        Rows of the file without a known label: no head learns from them or is judged on them.
    split_rule : dict
        How rows that name no split got one: `data.split_rule.SplitRule.to_dict`.
    own_splits : int
        Rows that keep the split which their source names.
    rows_by_split : dict of str to dict of str to int
        Rows of each class in each split.
    warnings : tuple of str
    seconds : float
    """

    file: str
    recipe_key: str
    rows: int
    computed: int
    reused: int
    reused_from: dict[str, int]
    dropped: int
    replaced: int
    before: str
    moved: dict[str, int]
    rejected: int
    rejections: tuple[tuple[str, str], ...]
    classes: int
    trained_classes: int
    unlabelled: int
    split_rule: dict
    own_splits: int
    rows_by_split: dict[str, dict[str, int]]
    warnings: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict:
        """Return the report as JSON-ready values."""
        return asdict(self)
