"""Which passes are tried: backbones by image sizes by arithmetics by layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from classify.heads.parameters import FRONTIER
from data.allowed import check_values
from data.errors import HeadstartError, UsageError, unknown_name
from data.lists import as_list
from extract.backbones.applications import backbone_named, checked_size
from extract.backbones.kinds import FILE
from extract.backbones.seen import Seen

SHARES = (0.5, 0.75, 1.0, 1.3)  # of the side that a backbone was trained with
ARITHMETICS = {"int8": 1.0, "bfloat16": 1.5, "float32": 3.0}  # time of an image, where all are computed
LAST = ("avg_pool",)
FIRST_SHARE = 0.25  # of the cost of a backbone: what is cut earlier knows textures alone


@dataclass(frozen=True)
class Pass:
    """One pass of a backbone over images.

    Attributes
    ----------
    backbone : str
    size : int
        Side of the images in pixels.
    arithmetic : str
        One of `ARITHMETICS`.
    layers : tuple of str
        Whose features the pass gives, side by side.

    Examples
    --------
    >>> each = Pass("xception", 299, "int8")
    >>> each.name, each.stem, each.options()
    ('xception 299 px int8', 'xception-299-int8', ['--image-size', '299', '--quantization', 'int8'])
    """

    backbone: str
    size: int
    arithmetic: str
    layers: tuple[str, ...] = LAST

    @property
    def name(self) -> str:
        """What tables show."""
        last = "" if self.layers == LAST else f" {'+'.join(self.layers)}"
        return f"{self.backbone} {self.size} px {self.arithmetic}{last}"

    @property
    def stem(self) -> str:
        """How files of it begin."""
        return "-".join(self.name.replace(" px", "").split()).replace("/", "-")

    @property
    def precision(self) -> str:
        """As a recipe has it: int8 quantizes the backbone of float32."""
        return "float32" if self.arithmetic == "int8" else self.arithmetic

    def options(self) -> list[str]:
        """Return the options of ``extract run`` that ask for this pass."""
        other = [] if self.backbone == "xception" else ["--backbone", self.backbone]
        kind = "--quantization" if self.arithmetic == "int8" else "--precision"
        arithmetic = [] if self.arithmetic == "float32" else [kind, self.arithmetic]
        layers = [] if self.layers == LAST else [word for name in self.layers for word in ("--layer", name)]
        return [*other, "--image-size", str(self.size), *arithmetic, *layers]

    def replaced(self, arithmetic: str) -> "Pass":
        """Return the same pass in another arithmetic."""
        return replace(self, arithmetic=arithmetic)


@dataclass(frozen=True)
class Request:
    """What is asked of a frontier.

    Attributes
    ----------
    rows : int
        Of the sample.
    backbones : sequence of str
    sizes : sequence of int
        Sides in pixels; none are `SHARES` of what each backbone was trained with.
    arithmetics : sequence of str
    layers : sequence of str
        Beside the last one: each alone, and all of them with the last one in one pass.
    worth_pooling : bool
        Whether these are what `layers_worth_pooling` finds in each backbone.
    weights : str
        As `extract.recipe.Recipe.for_backbone` takes them.
    budget : float or None
        Minutes: neither the work here nor the extraction of the source by what is named takes longer.
    images_per_second : float or None
        What is named is at least so fast.
    threads : int or None
        Of the CPU.
    seed : int
        Of the sample and of the folds.
    seen : Seen
        What the backbones see of images.

    Raises
    ------
    UsageError
        If a value is not allowed, or a name unknown.
    HeadstartError
        If no backbone takes images so small.
    """

    rows: int = 600
    backbones: Sequence[str] = ("xception",)
    sizes: Sequence[int] = ()
    arithmetics: Sequence[str] = tuple(ARITHMETICS)
    layers: Sequence[str] = ()
    worth_pooling: bool = False
    weights: str = "imagenet"
    budget: float | None = None
    images_per_second: float | None = None
    threads: int | None = field(default=None, compare=False)
    seed: int = 0
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        check_values({item.name: getattr(self, item.name) for item in fields(self)}, FRONTIER)
        for name in ("backbones", "sizes", "arithmetics", "layers"):
            object.__setattr__(self, name, tuple(as_list(getattr(self, name))))
        for name in self.arithmetics:
            if name not in ARITHMETICS:
                raise unknown_name("arithmetic", name, ARITHMETICS)
        least = min((backbone_named(backbone).min_size for backbone in self.backbones), default=0)
        for size in self.sizes:
            if size < least:
                raise _too_small(size, least, self.backbones)
        if len(self.backbones) > 1 and self.weights not in ("imagenet", "none"):
            raise UsageError(
                "a file of weights is of one backbone",
                "--weights imagenet or none with several backbones",
                f"{self.weights} with {', '.join(self.backbones)}",
                "name one backbone, or leave --weights out",
            )
        if self.layers and self.worth_pooling:
            raise UsageError(
                "layers by name and those worth pooling are two requests",
                "--layer NAME, or --layers",
                f"--layers and --layer {' --layer '.join(self.layers)}",
                "leave one of them out",
            )

    def seen_by(self, backbone: str) -> Seen:
        """Return what a backbone sees: beside model files, which need a scaling, others keep their own."""
        has_files = any(name.startswith(FILE) for name in self.backbones)
        return replace(self.seen, scaling=None) if has_files and not backbone.startswith(FILE) else self.seen


def _too_small(size: int, least: int, backbones: Sequence[str]) -> HeadstartError:
    return HeadstartError(
        f"images of {size}x{size} pixels are too small for {' and '.join(backbones)}",
        f"{least} pixels or more",
        f"{size} among --image-sizes",
        f"leave it out of --image-sizes, or choose {least} or more",
    )


def too_small(request: Request) -> list[tuple[str, str]]:
    """Return what of a request is not tried since a backbone takes no images so small: names and reasons.

    Examples
    --------
    >>> too_small(Request(backbones=("xception", "resnet50"), sizes=(64, 150)))
    [('xception 64 px', 'it takes 71 pixels or more')]
    """
    return [
        (f"{backbone} {size} px", f"it takes {least} pixels or more")
        for backbone in dict.fromkeys(request.backbones)
        for size in dict.fromkeys(request.sizes)
        if size < (least := backbone_named(backbone).min_size)
    ]


def name_of(several: Sequence[Pass]) -> str:
    """Return the name of passes whose features are joined.

    Examples
    --------
    >>> name_of([Pass("xception", 299, "int8"), Pass("xception", 150, "float32")])
    'xception 299 px int8 + 150 px float32'
    """
    first, *others = several
    return " + ".join([first.name, *(each.name.removeprefix(f"{first.backbone} ") for each in others)])


def sizes_of(backbone: str, sizes: Sequence[int] = ()) -> list[int]:
    """Return the sides that are tried: those that are named, or by `SHARES`, which a backbone takes.

    Examples
    --------
    >>> sizes_of("xception"), sizes_of("mobilenet")
    ([150, 224, 299, 389], [112, 168, 224, 291])
    """
    entry = backbone_named(backbone)
    if entry.only_size:
        return [min(entry.only_size)]
    if not entry.native_size and not sizes:
        checked_size(backbone)  # which says what is missing
    sides = sizes or [int(share * entry.native_size + 0.5) for share in SHARES]
    return [side for side in dict.fromkeys(sides) if side >= entry.min_size]


def passes(request: Request, layers: Mapping[str, Sequence[str]] | None = None) -> list[Pass]:
    """Return every pass of a request, those first that take little time: small images, fast arithmetics.

    Layers beside the last one are not tried in int8, which would be calibrated for each of them, unless
    it is all that is asked for.

    Parameters
    ----------
    request : Request
    layers : mapping of str to sequence of str, optional
        By backbone, in the place of those of the request.

    Examples
    --------
    >>> [each.name for each in passes(Request(sizes=(150, 96), arithmetics=("float32", "int8")))][:3]
    ['xception 96 px int8', 'xception 150 px int8', 'xception 96 px float32']
    """
    ordered = [name for name in ARITHMETICS if name in request.arithmetics]
    found = [
        Pass(backbone, size, arithmetic, several)
        for backbone in dict.fromkeys(request.backbones)
        for size in sizes_of(backbone, request.sizes)
        for arithmetic in ordered
        for several in layer_sets((layers or {}).get(backbone, request.layers))
        if several == LAST or arithmetic != "int8" or ordered == ["int8"]
    ]
    return sorted(found, key=lambda each: work(each) * ARITHMETICS[each.arithmetic])


def layers_worth_pooling(backbone: str) -> list[str]:
    """Return the ends of a backbone's stages that have a good part of its cost, but for the last one.

    Examples
    --------
    >>> layers_worth_pooling("xception")  # doctest: +SKIP
    ['add_10']
    """
    from extract.backbones.layers import output_layers  # which builds the graph

    found = output_layers(backbone)[:-1]
    return [layer.name for layer in found if layer.ends_stage and layer.share >= FIRST_SHARE]


def work(each: Pass) -> float:
    """Return how much of a pass at the backbone's own size the pixels make: what time grows with."""
    return (each.size / (backbone_named(each.backbone).native_size or each.size)) ** 2


def layer_sets(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """Return which layers passes give: the last one, each that is named, and all of these together.

    Examples
    --------
    >>> layer_sets([]), layer_sets(["a", "b"])
    ([('avg_pool',)], [('avg_pool',), ('a',), ('b',), ('a', 'b', 'avg_pool')])
    """
    named = [name for name in dict.fromkeys(layers) if name not in LAST]
    together = [(*named, *LAST)] if named else []
    return [LAST, *((name,) for name in named), *together]
