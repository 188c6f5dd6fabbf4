import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import layers

from helpers.evaluate.grad_cam import energy_in_lungs, grad_cam, measure_energy
from helpers.train.batches import scale
from helpers.train.models import build_detector
from helpers.train.recipes import RECIPES
from tests.support.builders import Watched
from tests.train.test_backends import run_on

SHAPE = (88, 96)
# The first row and column of each: near the border, and not so near that heat must be cut off.
SQUARES = [(14, 74), (66, 14), (56, 56)]
SIDE = 8

BACKENDS = """
import json

from tests.evaluate.test_grad_cam import answer_all
print(json.dumps(answer_all()))
"""


def draw(square: tuple[int, int] | None) -> np.ndarray:
    """Return a dark X-ray with stripes and, given a place, a bright square: uint8 (88, 96)."""
    image = np.zeros(SHAPE, np.uint8)
    image[36:48, 41:57:2] = 255
    if square:
        image[square_mask(square)] = 255
    return image


def square_mask(square: tuple[int, int]) -> np.ndarray:
    """Return where a square is: bool (88, 96)."""
    mask = np.zeros(SHAPE, bool)
    mask[square[0] : square[0] + SIDE, square[1] : square[1] + SIDE] = True
    return mask


def known_sequential() -> keras.Sequential:
    """Return a network like the detector, with weights by hand: squares for, stripes against."""
    model = keras.Sequential([keras.Input((*SHAPE, 1))])
    for _ in range(3):
        model.add(layers.Conv2D(2, 3, activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(4, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    look_for_squares_and_stripes(model)
    values = model.layers[-3].output.shape[1]
    sums = np.zeros((values, 4))
    sums[0::2, 0] = sums[1::2, 1] = 1
    model.layers[-2].set_weights([sums, np.zeros(4)])
    model.layers[-1].set_weights([np.array([[1.0], [-1.0], [0.0], [0.0]]), np.zeros(1)])
    return model


def known_functional() -> keras.Model:
    """Return a network that does the same and ends in global average pooling."""
    inputs = keras.Input((*SHAPE, 1))
    features = layers.Conv2D(2, 3, padding="same", activation="relu")(inputs)
    features = layers.Conv2D(2, 3, strides=2, padding="same")(features)
    features = layers.ReLU()(layers.BatchNormalization()(features))
    features = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(features))
    look_for_squares_and_stripes(model)
    model.layers[-1].set_weights([np.array([[1.0], [-1.0]]), np.zeros(1)])
    return model


def look_for_squares_and_stripes(model: keras.Model) -> None:
    """Let the first filter answer to bright squares, the second to stripes; the rest hand on."""
    first, *others = (layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    kernel = np.empty((3, 3, 1, 2))
    kernel[..., 0, 0] = 1 / 9
    kernel[..., 0, 1] = np.array([-0.5, 1, -0.5]) / 3
    first.set_weights([kernel, np.array([-0.8, -0.6])])
    for layer in others:
        kernel = np.zeros((3, 3, 2, 2))
        kernel[1, 1] = np.eye(2)
        layer.set_weights([kernel, np.zeros(2)])


def draw_weights(model: keras.Model, seed: int) -> None:
    """Give a model weights by chance, the same on every backend; more speak for than against."""
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0.1, 0.5, each.shape) for each in model.get_weights()])


def answer_all() -> list[float]:
    """Return as one list the heat of the known networks, and of one with weights by chance."""
    images = np.stack([draw(square) for square in SQUARES])
    chance = known_sequential()
    draw_weights(chance, seed=2)
    heats = [grad_cam(model, images) for model in (known_sequential(), known_functional(), chance)]
    assert np.ptp(heats[-1], axis=(1, 2)).min() > 0.5, "by chance there is heat of all strengths"
    return np.concatenate(heats, axis=None).tolist()


def reload(model: keras.Model, folder) -> keras.Model:
    """Return a model as it comes back from its file."""
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", compile=False)


@pytest.fixture(params=[known_sequential, known_functional], ids=["Sequential", "functional"])
def known(request) -> keras.Model:
    """A network of which is known where it looks."""
    return request.param()


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("loaded", [False, True], ids=["built", "loaded"])
def test_the_heat_lies_on_what_speaks_for_the_answer(known, square, loaded, tmp_path):
    model = reload(known, tmp_path) if loaded else known
    heat = grad_cam(model, draw(square)[None])
    assert heat.shape == (1, *SHAPE) and heat.dtype == np.float32
    assert heat.max() == 1 and heat.min() == 0
    rows, columns = np.indices(SHAPE)
    middle = [(place * heat[0]).sum() / heat.sum() for place in (rows, columns)]
    # Pooled features stand for four pixels, so that the heat may be beside by half of that.
    np.testing.assert_allclose(middle, np.array(square) + (SIDE - 1) / 2, atol=2)
    assert heat[0][draw(None) > 0].max() == 0, "the stripes speak against it"


@pytest.mark.parametrize("bias", [-200, 200])
def test_an_answer_without_a_doubt_has_heat_too(known, bias):
    image = draw(SQUARES[0])[None]
    before = grad_cam(known, image)
    kernel, _ = known.layers[-1].get_weights()
    known.layers[-1].set_weights([kernel, np.array([bias])])
    assert known.predict_on_batch(scale(image)).item() == (bias > 0)
    np.testing.assert_array_equal(grad_cam(known, image), before)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_energy_measured_batch_by_batch_is_that_of_all_heat_at_once(known, size, monkeypatch):
    images = np.stack([draw(square) for square in (*SQUARES, None, SQUARES[0])])
    masks = np.stack([square_mask(square) for square in (*SQUARES, SQUARES[1], SQUARES[1])])
    masks[0, ::2] = 1
    rows = np.array([4, 0, 3, 1])
    expected = energy_in_lungs(grad_cam(known, images[rows]), masks[rows])
    monkeypatch.setattr("helpers.evaluate.grad_cam.fit_batch", lambda model: size)
    watched = Watched(images), Watched(masks[rows])
    found = measure_energy(known, *watched, rows)
    assert np.isnan(found).tolist() == [False, False, True, False]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [array.most for array in watched] == [min(size, len(rows))] * 2


@pytest.mark.parametrize("recipe", ["demo", "best"])
def test_the_recipes_detector_has_heat(recipe):
    keras.utils.set_random_seed(0)
    model = build_detector(RECIPES[recipe].detection)
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128), dtype=np.uint8)
    heat = grad_cam(model, images)
    assert heat.shape == images.shape
    assert np.isfinite(heat).all()
    assert heat.max(axis=(1, 2)).tolist() == [1, 1]


def test_with_averages_it_is_the_class_activation_map():
    """Zhou et al. 2016: what Grad-CAM generalises, and what needs no gradient."""
    inputs = keras.Input((20, 12, 1))
    features = layers.Activation("relu")(layers.Conv2D(6, 3, padding="same")(inputs))
    pooled = layers.GlobalAveragePooling2D()(features)
    model = keras.Model(inputs, layers.Activation("sigmoid")(layers.Dense(1)(pooled)))
    generator = np.random.default_rng(0)
    weights = [generator.normal(0, 1, each.shape) for each in model.get_weights()]
    weights[2][0] = 3  # so that there is some heat in each
    model.set_weights(weights)
    images = generator.integers(0, 256, (4, 20, 12), dtype=np.uint8)
    features = keras.Model(inputs, features).predict_on_batch(scale(images))
    expected = np.maximum(features @ model.get_weights()[2][:, 0], 0)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(grad_cam(model, images), expected, atol=1e-5)


def test_the_last_convolution_counts():
    model = keras.Sequential([keras.Input((24, 24, 1))])
    for _ in range(2):
        model.add(layers.Conv2D(1, 9, padding="same", activation="relu"))
        kernel = np.zeros((9, 9, 1, 1))
        kernel[0, 8] = 1  # takes what is four above and four to the right
        model.layers[-1].set_weights([kernel, np.zeros(1)])
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1, kernel_initializer="ones", activation="sigmoid"))
    image = np.zeros((1, 24, 24), np.uint8)
    image[0, 6, 17] = 255
    heat = grad_cam(model, image)[0]
    assert np.argwhere(heat).tolist() == [[6 + 8, 17 - 8]]


def test_the_network_stays_as_it_was(known, tmp_path):
    image = draw(SQUARES[0])[None]
    answer, weights, first = known.predict_on_batch(scale(image)), known.get_weights(), None
    for _ in range(3):
        first = grad_cam(known, image) if first is None else first
        np.testing.assert_array_equal(grad_cam(known, image), first)
    again = reload(known, tmp_path)
    for before, after in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(again.predict_on_batch(scale(image)), answer)
    assert len(again.layers) == len(known.layers)


def test_both_backends_give_the_same_heat():
    other = "tensorflow" if keras.backend.backend() == "jax" else "jax"
    np.testing.assert_allclose(run_on(other, BACKENDS), answer_all(), atol=1e-5)


def in_a_row(*parts: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((24, 24, 1)), *parts])


def branches() -> keras.Model:
    inputs = keras.Input((24, 24, 1))
    both = [layers.Conv2D(2, 1, strides=2)(inputs), layers.Conv2D(2, 2, strides=2)(inputs)]
    features = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()(both)))
    return keras.Model(inputs, layers.Dense(1)(features))


@pytest.mark.parametrize(
    "build",
    [
        lambda: in_a_row(layers.Flatten(), layers.Dense(1)),
        lambda: in_a_row(layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)),
        lambda: in_a_row(layers.Conv2D(2, 3, dilation_rate=2), layers.Flatten(), layers.Dense(1)),
        lambda: in_a_row(layers.Conv2D(1, 3)),
        branches,
    ],
    ids=["no convolution", "two outputs", "gaps", "an output a pixel", "branches"],
)
def test_another_kind_of_network_is_refused(build):
    with pytest.raises(ValueError, match="Grad-CAM needs"):
        grad_cam(build(), np.zeros((1, 24, 24), np.uint8))


HEATS = arrays(np.float32, (3, 5, 4), elements=st.floats(0, 1, width=32))
MASKS = arrays(np.uint8, (3, 5, 4), elements=st.integers(0, 1))


@settings(max_examples=100, deadline=None)
@given(heat=HEATS, masks=MASKS)
def test_inside_and_outside_make_up_all_energy(heat, masks):
    inside, outside = energy_in_lungs(heat, masks), energy_in_lungs(heat, 1 - masks)
    some = heat.max(axis=(1, 2)) > 0
    np.testing.assert_allclose((inside + outside)[some], 1)
    assert np.isnan(inside[~some]).all()
    assert ((inside >= 0) & (inside <= 1))[some].all()
    assert inside.dtype == np.float64 and inside.shape == (3,)


@settings(max_examples=100, deadline=None)
@given(masks=MASKS, strength=st.floats(0.0625, 1, width=32))
def test_an_even_heat_has_the_lungs_share_of_the_xray(masks, strength):
    even = np.full(masks.shape, strength, np.float32)
    np.testing.assert_allclose(energy_in_lungs(even, masks), masks.mean(axis=(1, 2)))
