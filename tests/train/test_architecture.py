import keras
import numpy as np
import pytest
from keras import layers

from helpers.train.architecture import find_stages, name_levels, receptive_fields, unwrap
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import RECIPES, DetectionSettings, SegmentationSettings

DEMO, BEST = RECIPES["demo"], RECIPES["best"]
SMALL = {
    "U-Net": build_unet(SegmentationSettings(128, (2, 3), 1, 2, 1e-3)),
    "U-Net with patches": build_unet(SegmentationSettings(128, (2,), 1, 2, 1e-3, patch=2)),
    "detector": build_detector(DetectionSettings(65, (2, 3), 1, 2, 1e-3)),
    "with gaps": keras.Sequential(
        [
            keras.Input((65, 65, 1)),
            layers.Conv2D(2, 3, dilation_rate=3, padding="same"),
            layers.AveragePooling2D(3, strides=2),
            layers.Conv2D(2, 5),
        ]
    ),
}


def build_skipping(join) -> keras.Model:
    """Return a small network whose way up joins the features of the way down."""
    xrays = keras.Input((16, 16, 1))
    above = layers.Conv2D(4, 3, padding="same")(xrays)
    below = layers.Conv2D(4, 3, strides=2, padding="same")(above)
    below = layers.Conv2D(4, 3, padding="same")(below)
    features = join(layers.UpSampling2D(2)(below), above)
    return keras.Model(xrays, layers.Conv2D(1, 3, padding="same")(features))


def test_the_stages_of_the_demo_s_unet():
    stages = find_stages(build_unet(DEMO.segmentation))
    assert [stage.level for stage in stages] == [0, 0, 1, 2, 3, 4, 3, 2, 1, 0, 0]
    assert [stage.shape[0] for stage in stages] == [128, 128, 64, 32, 16, 8, 16, 32, 64, 128, 128]
    assert [stage.shape[2] for stage in stages] == [1, 8, 16, 32, 64, 128, 64, 32, 16, 8, 1]
    assert [len(stage.convolutions) for stage in stages] == [0, *[2] * 9, 1]
    assert [stage.joined for stage in stages] == [[]] * 6 + [[4], [3], [2], [1], []]


def test_patches_are_made_of_the_input_and_undone_after_the_last_convolution():
    stages = find_stages(build_unet(BEST.segmentation))
    assert [stage.shape for stage in stages[:2]] == [(256, 256, 1), (64, 64, 24)]
    assert [stage.shape for stage in stages[-2:]] == [(64, 64, 1), (256, 256, 1)]
    assert [stage.level for stage in stages] == [0, 0, 1, 2, 3, 4, 3, 2, 1, 0, 0, -1]
    assert stages[-1].enlarges
    assert not stages[-2].enlarges


@pytest.mark.parametrize(
    "join",
    [
        lambda one, other: layers.Concatenate()([one, other]),
        lambda one, other: layers.Add()([one, other]),
        lambda one, other: one + other,
        lambda one, other: keras.ops.concatenate([one, other], axis=-1),
    ],
)
def test_a_skip_is_found_however_it_is_written(join):
    stages = find_stages(build_skipping(join))
    assert [stage.level for stage in stages] == [0, 0, 1, 0]
    assert [stage.joined for stage in stages] == [[], [], [], [1]]
    without = find_stages(build_skipping(lambda one, other: one))
    assert [stage.joined for stage in without] == [[], [], [], []]


def test_a_detector_has_stages_up_to_where_places_end():
    stages = find_stages(build_detector(DEMO.detection))
    assert [stage.shape[:2] for stage in stages] == [(s, s) for s in (128, 126, 61, 28, 14)]
    assert name_levels(build_detector(DEMO.detection)) == [f"level {i}" for i in (1, 2, 3, 4)]
    assert name_levels(SMALL["U-Net"]) == ["level 1", "level 2", "bottom"]


def test_a_network_that_looks_twice_has_the_stages_of_the_one_within():
    inner = build_unet(BEST.segmentation)
    assert unwrap(look_twice(inner)).get_config() == inner.get_config()
    assert len(find_stages(look_twice(inner))) == 12
    assert unwrap(inner) is inner


@pytest.mark.parametrize("name", SMALL)
def test_the_receptive_field_is_what_changes_a_value(name):
    model = SMALL[name]
    fields = receptive_fields(model)
    for weight in model.weights:  # all positive, so that no two changes cancel out
        weight.assign(np.ones(weight.shape))
    size = model.input_shape[1]
    changed = np.zeros((size + 1, size, size, 1), np.float32)
    for column in range(size):
        changed[column, :, column] = 1  # and the last X-ray stays black
    stages = [stage for stage in find_stages(model)[1:] if stage.level > 0]
    bottom = next(one for one in stages if one.level == max(stage.level for stage in stages))
    look = keras.Model(model.inputs[0], bottom.operations[-1].output)
    values = keras.ops.convert_to_numpy(look(changed))
    middle = values.shape[1] // 2
    seen = (values[:-1, middle, middle, 0] != values[-1, middle, middle, 0]).sum()
    assert fields["pixels"].iloc[-1] == seen < size


def test_the_fields_of_the_demo_s_networks():
    fields = receptive_fields(build_unet(DEMO.segmentation))
    last = fields.groupby("level", sort=False)["pixels"].last()
    expected = {"level 1": 5, "level 2": 14, "level 3": 32, "level 4": 68, "bottom": 140}
    assert last.to_dict() == expected
    assert fields["layer"].iloc[2] == "pooling 2 × 2"
    detector = receptive_fields(build_detector(DEMO.detection))
    assert list(detector["pixels"]) == [3, 4, 8, 10, 18, 22]
