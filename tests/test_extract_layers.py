"""The outputs of backbones worth pooling: a rule over the table, names that stay, models that are cut."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_command
from contracts import drawn_pixels

from data import HeadstartError
from extract import extract
from extract.backbones.build import build_backbone, flops, map_size, operation_flops, tapped
from extract.backbones.graph import meeting, steps_of
from extract.backbones.layers import output_layers
from extract.backbones.weights import load_backbone
from extract.engines.conversion import _translated
from extract.engines.engine import open_engine
from extract.engines.keras_engine import feature_model
from extract.run.forecast import preview

SIZE = 96
# What a reader of each family's paper would call its ends, after the stem, before the end.
ENDS = {
    "xception": ["add", "add_1", "add_2", "add_3", "add_10", "add_11"],
    "resnet50": ["conv2_block1_out", "conv2_block3_out", "conv3_block4_out", "conv5_block2_out"],
    "resnet50v2": ["conv2_block2_out", "conv4_block5_out", "conv5_block2_out"],
    "densenet121": ["conv2_block1_concat", "pool2_relu", "pool3_relu", "pool4_relu"],
    "efficientnetb0": ["block2b_add", "block4a_expand_activation", "block4c_add", "block6d_add"],
    "efficientnetv2b0": ["block2b_add", "block3b_add", "block5e_add", "block6h_add"],
    "mobilenet": ["conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu"],
    "mobilenetv2": ["block_2_add", "block_3_expand_relu", "block_9_add", "block_15_add"],
    "mobilenetv3small": ["expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_10_add"],
    "inceptionv3": ["mixed0", "mixed2", "mixed7", "mixed9"],
    "inceptionresnetv2": ["mixed_5b", "block35_1_ac", "block17_20_ac", "mixed_7a", "block8_9_ac"],
    "nasnetmobile": ["reduction_concat_stem_1", "normal_concat_0", "normal_concat_3", "normal_concat_10"],
    "convnexttiny": ["add", "add_2", "convnext_tiny_downsampling_block_1", "add_16"],
    "vgg16": ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"],
}
NEVER = {  # inside of blocks: a gate, a branch, what is normalized later, what is padded
    "efficientnetb0": ["block2a_se_excite", "block3a_dwconv_pad", "normalization"],
    "inceptionv3": ["mixed9_0", "activation_85"],
    "nasnetmobile": ["normal_add_1_1", "reduction_add_1_reduce_4"],
    "resnet50": ["conv2_block1_add", "conv1_pad"],
    "xception": ["block4_sepconv1", "block14_sepconv1"],
}


@pytest.mark.parametrize("name", ENDS)
def test_the_rule_finds_the_ends_of_blocks_and_stages(name):
    layers = output_layers(name, SIZE)
    names = [layer.name for layer in layers]
    assert [each for each in names if each in ENDS[name]] == ENDS[name]
    assert not set(names) & set(NEVER.get(name, ()))
    assert len(set(names)) == len(names)
    costs = [layer.gflop for layer in layers]
    assert costs == sorted(set(costs))
    assert (names[-1], layers[-1].share) == ("avg_pool", 1)
    assert sum(layer.ends_stage for layer in layers) == len({layer.map_size for layer in layers})


@pytest.mark.parametrize(
    "name", ["xception", "efficientnetb0", "mobilenetv3small", "nasnetmobile", "convnexttiny", "vgg16"]
)
def test_each_costs_what_the_model_costs_that_is_cut_there(name):
    backbone = build_backbone(name, (SIZE, SIZE))
    whole = flops(backbone)
    layers = output_layers(name, SIZE)
    for layer in layers[:: len(layers) // 4 or 1]:
        cut = tapped(backbone, [layer.name])
        assert flops(cut) == round(layer.gflop * 1e9) == round(layer.share * whole)
        assert map_size(cut.outputs[0]) == (*layer.map_size, layer.width)
    deepest = layers[len(layers) // 2]
    before = [layer.name for layer in layers[: len(layers) // 2]]
    assert flops(tapped(backbone, [deepest.name, *before])) == round(deepest.gflop * 1e9)


@pytest.mark.parametrize("name", ["xception", "convnexttiny", "mobilenetv3small"])
def test_names_are_those_of_the_first_graph_of_a_process(name):
    """Keras goes on counting: `add_5` would be another layer, or none, in the next graph."""
    first, second = (steps_of(build_backbone(name, (SIZE, SIZE))) for _ in range(2))
    assert [step.name for step in first] == [step.name for step in second]
    assert [step.operation.name for step in first] != [step.operation.name for step in second]
    assert {"xception": "add_11", "convnexttiny": "add_17", "mobilenetv3small": "re_lu"}[name] in {
        step.name for step in second
    }


def test_where_paths_meet():
    one_way, two_ways = [[1], [2], []], [[1, 2, 3], [3], [3], [4], []]
    assert meeting(one_way) == [1, 2, 2]
    assert meeting(two_ways) == [3, 3, 3, 4, 4]
    assert meeting([[1, 2], [2, 3], [3], []]) == [3, 3, 3, 3]  # each skips over the one before


CUT = "conv_pw_3_relu"
PRODUCTS = 7  # of MobileNet up to there: the stem, and three times depthwise and pointwise; 27 in all


@pytest.mark.parametrize(("layers", "products"), [([CUT], PRODUCTS), ([CUT, "avg_pool"], 27)])
def test_openvino_computes_nothing_behind_the_deepest_layer(tiny_recipe, layers, products):
    """By the graph that OpenVINO really runs, and by what Keras' own backend OpenVINO would convert."""
    recipe = replace(tiny_recipe, layers=tuple(layers))
    told = dict(open_engine("openvino", recipe).describe().others)["executed"]
    assert sum(int(number) for number in re.findall(r": (\d+) layer", told)) == products
    convolutions = [each for each in _translated(recipe).get_ops() if "Convolution" in each.get_type_name()]
    assert len(convolutions) == products


def test_keras_computes_nothing_behind_the_deepest_layer(tiny_recipe):
    recipe = replace(tiny_recipe, layers=(CUT,))
    backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights)
    (cut,) = [layer for layer in feature_model(recipe, backbone).layers if hasattr(layer, "layers")]
    assert sum(bool(operation_flops(layer)) for layer in cut.layers) == PRODUCTS
    assert sum(bool(operation_flops(layer)) for layer in backbone.layers) == 27


def test_a_cut_model_gives_the_features_of_the_whole(tiny_recipe):
    both, cut = (
        open_engine("openvino", replace(tiny_recipe, layers=layers))(drawn_pixels())
        for layers in ((CUT, "avg_pool"), (CUT,))
    )
    assert len(cut) == 1
    np.testing.assert_allclose(cut[0], both[0], rtol=1e-4, atol=1e-6)


def test_a_plan_tells_the_gflop_of_the_cut_model(tiny_recipe, images, tmp_path):
    first = output_layers("mobilenet", 32)[0]
    recipe = replace(tiny_recipe, layers=(first.name,))
    assert preview(images, recipe, tmp_path / "cut.h5").gflop == first.gflop
    extract(images, recipe, tmp_path / "cut.h5")
    assert preview(images, recipe, tmp_path / "cut.h5").gflop is None


def test_an_unknown_layer_lists_the_names_that_stay():
    backbone = build_backbone("xception", (71, 71))
    with pytest.raises(HeadstartError, match="add_11"):
        tapped(backbone, ["add_12"])


def test_the_command(tmp_path):
    done = run_command("extract", "layers", "--backbone", "mobilenet", "--image-size", "64x96", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    head, names, *rows = done.stdout.splitlines()
    assert head == "mobilenet at 64x96, 0.14 GFLOP an image; * ends a stage"
    assert names.split() == ["layer", "features", "map", "GFLOP", "of", "all"]
    assert rows[0].split() == ["conv_pw_1_relu", "64", "32x48", "0.01", "7.1%", "*"]
    assert rows[-1].split() == ["avg_pool", "1024", "2x3", "0.14", "100.0%", "*"]
    words = ("layers", "--backbone", "mobilenet", "--image-size", "64x96", "--json")
    values = json.loads(run_command("extract", *words, cwd=tmp_path).stdout)
    assert (values["backbone"], values["image_size"]) == ("mobilenet", [64, 96])
    assert [layer["name"] for layer in values["layers"]] == [row.split()[0] for row in rows]
    assert values["layers"][0]["map_size"] == [32, 48]
    assert values["layers"][-1] == {
        "name": "avg_pool",
        "width": 1024,
        "map_size": [2, 3],
        "gflop": values["gflop"],
        "share": 1.0,
        "ends_stage": True,
    }


def test_no_weights_are_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "empty"))
    done = run_command("extract", "layers", "--backbone", "mobilenet", cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "empty" / "weights").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--backbone", "mobilnet"), "unknown backbone 'mobilnet'"),
        (("--backbone", "mobilenet", "--image-size", "31"), "images of 31x31 pixels are too small"),
        (("--image-size", "big"), "--image-size is not a size"),
    ],
)
def test_bad_input_is_one_message(words, told, tmp_path):
    done = run_command("extract", "layers", *words, cwd=tmp_path)
    assert done.returncode in (1, 2) and told in done.stderr and "Traceback" not in done.stderr
