"""The command python -m extract layers."""

from data.console import show
from extract.commands.options import AsJson, BackboneName, ImageSize, parse_size


def layers_lines(values: dict) -> list[str]:
    """Lay out the outputs of a backbone for people; a star stands behind the last of each map's size."""
    rows = [
        (
            layer["name"],
            str(layer["width"]),
            "x".join(map(str, layer["map_size"])),
            f"{layer['gflop']:.2f}",
            f"{layer['share']:.1%}" + (" *" if layer["ends_stage"] else "  "),
        )
        for layer in values["layers"]
    ]
    height, width = values["image_size"]
    name = max(len("layer"), *(len(row[0]) for row in rows))
    return [
        f"{values['backbone']} at {height}x{width}, {values['gflop']:.2f} GFLOP an image; * ends a stage",
        f"{'layer':<{name}}  features       map   GFLOP   of all",
        *(
            f"{layer:<{name}}{features:>10}{size:>10}{gflop:>8}{share:>11}".rstrip()
            for layer, features, size, gflop, share in rows
        ),
    ]


def layers(backbone: BackboneName = "xception", image_size: ImageSize = "", as_json: AsJson = False) -> None:
    """List the outputs of a backbone worth pooling: width, map, and share of the cost. No weights are needed.

    Example: python -m extract layers --backbone resnet50 --image-size 224
    """
    from extract.backbones.applications import checked_size
    from extract.backbones.layers import output_layers

    size = checked_size(backbone, parse_size(image_size))
    found = output_layers(backbone, size)
    values = {
        "backbone": backbone,
        "image_size": list(size),
        "gflop": found[-1].gflop,
        "layers": [layer.to_dict() for layer in found],
    }
    show(values, layers_lines, as_json)
