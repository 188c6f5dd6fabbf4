import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import layers

from helpers.evaluate import heat_maps
from helpers.evaluate.heat_maps import energy_in_lungs, find_heat, measure_energy, occlude
from helpers.storage.errors import CovidLungsError
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

from tests.evaluate.test_heat_maps import answer_all
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
    heats = [find_heat(model, images) for model in (known_sequential(), known_functional(), chance)]
    heats += [find_heat(chance, images, averaged=True), occlude(chance, images)]
    for heat in heats[2:]:
        assert np.ptp(heat, axis=(1, 2)).min() > 0.5, "by chance there is heat of all strengths"
    return np.concatenate(heats, axis=None).tolist()


def reload(model: keras.Model, folder) -> keras.Model:
    """Return a model as it comes back from its file."""
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", compile=False)


@pytest.fixture(params=[known_sequential, known_functional], ids=["Sequential", "functional"])
def known(request) -> keras.Model:
    """A network of which is known where it looks."""
    return request.param()


@pytest.mark.parametrize("find", [find_heat, occlude])
@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("loaded", [False, True], ids=["built", "loaded"])
def test_the_heat_lies_on_what_speaks_for_the_answer(known, find, square, loaded, tmp_path):
    model = reload(known, tmp_path) if loaded else known
    heat = find(model, draw(square)[None])
    assert heat.shape == (1, *SHAPE) and heat.dtype == np.float32
    assert heat.max() == 1 and heat.min() == 0
    rows, columns = np.indices(SHAPE)
    middle = [(place * heat[0]).sum() / heat.sum() for place in (rows, columns)]
    # The last convolution has a cell for every four pixels, and a pooling hands the gradient to
    # the first of equal ones. What hides places moves by eight pixels.
    np.testing.assert_allclose(middle, np.array(square) + (SIDE - 1) / 2, atol=4)
    assert heat[0][draw(None) > 0].max() == 0, "the stripes speak against it"


@pytest.mark.parametrize("bias", [-200, 200])
def test_an_answer_without_a_doubt_has_heat_too(known, bias):
    image = draw(SQUARES[0])[None]
    before = find_heat(known, image)
    kernel, _ = known.layers[-1].get_weights()
    known.layers[-1].set_weights([kernel, np.array([bias])])
    assert known.predict_on_batch(scale(image)).item() == (bias > 0)
    np.testing.assert_array_equal(find_heat(known, image), before)


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_energy_measured_by_batches_is_that_of_all_heat(known, size, averaged, monkeypatch):
    images = np.stack([draw(square) for square in (*SQUARES, None, SQUARES[0])])
    masks = np.stack([square_mask(square) for square in (*SQUARES, SQUARES[1], SQUARES[1])])
    masks[0, ::2] = 1
    rows = np.array([4, 0, 3, 1])
    expected = energy_in_lungs(find_heat(known, images[rows], averaged), masks[rows])
    monkeypatch.setattr("helpers.evaluate.heat_maps.fit_batch", lambda model: size)
    watched = Watched(images), Watched(masks[rows])
    found = measure_energy(known, *watched, rows, averaged)
    assert np.isnan(found).tolist() == [False, False, True, False]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [array.most for array in watched] == [min(size, len(rows))] * 2


@pytest.mark.parametrize("find", [find_heat, occlude])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_detector_has_heat(find, recipe):
    keras.utils.set_random_seed(0)
    settings = RECIPES[recipe].detection
    shape = (2, settings.image_size, settings.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    heat = find(build_detector(settings), images)
    assert heat.shape == images.shape
    assert np.isfinite(heat).all()
    assert heat.max(axis=(1, 2)).tolist() == [1, 1]


def weighs_every_place() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Return a network of one sum over features, its features of four X-rays, and the X-rays."""
    model = keras.Sequential([keras.Input((20, 12, 1)), layers.Conv2D(3, 1, activation="relu")])
    model.add(layers.Flatten())
    model.add(layers.Dense(1, activation="sigmoid"))
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0.3, 0.5, each.shape) for each in model.get_weights()])
    images = generator.integers(0, 256, (4, 20, 12), dtype=np.uint8)
    features = keras.Model(model.inputs, model.layers[0].output).predict_on_batch(scale(images))
    return model, features, images


@pytest.mark.parametrize("averaged", [False, True])
def test_a_place_counts_by_its_own_weight_or_by_the_mean_of_all(averaged):
    model, features, images = weighs_every_place()
    weights = model.get_weights()[2].reshape(20, 12, 3)
    if averaged:
        weights = weights.mean(axis=(0, 1))
    expected = np.maximum((features * weights).sum(axis=-1), 0)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(find_heat(model, images, averaged), expected, atol=1e-5)


def test_features_times_gradients_add_up_to_the_logit():
    model, features, images = weighs_every_place()
    found, gradients = heat_maps.differentiate(*heat_maps.cut(model), images)
    np.testing.assert_allclose(found, features, atol=1e-6)
    bias = model.get_weights()[3]
    logits = (found * gradients).sum(axis=(1, 2, 3)) + bias
    probabilities = model.predict_on_batch(scale(images))[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), probabilities, atol=1e-5)


def test_four_squares_hide_each_place():
    """Of a sum over pixels, hiding one takes its weight times its distance from the mean."""
    model = keras.Sequential([keras.Input((30, 26, 1)), layers.Conv2D(1, 1), layers.Flatten()])
    model.add(layers.Dense(1, activation="sigmoid"))
    generator = np.random.default_rng(2)
    weights = generator.normal(0, 1, (30, 26))
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), weights.reshape(-1, 1), np.zeros(1)])
    image = generator.integers(0, 256, (30, 26), dtype=np.uint8)
    loss = weights * (image.astype(float) - round(image.mean()))
    expected = np.zeros((30, 26))
    for top in range(-3, 30, 3):
        for left in range(-3, 26, 3):
            square = np.s_[max(0, top) : top + 6, max(0, left) : left + 6]
            expected[square] += loss[square].sum()
    expected = np.maximum(expected, 0) / expected.max()
    np.testing.assert_allclose(occlude(model, image[None])[0], expected, atol=1e-4)


def test_where_hiding_changes_nothing_but_roundings_there_is_no_heat(monkeypatch):
    def predict(model, images):  # as JAX does, a batch of equal X-rays
        return np.float32(-0.7) + np.float32(6e-8) * (np.arange(len(images)) == len(images) - 1)

    monkeypatch.setattr(heat_maps, "predict", predict)
    assert not occlude(known_sequential(), draw(None)[None]).any()


@pytest.mark.parametrize("averaged", [False, True])
def test_where_features_are_averaged_both_are_the_class_activation_map(averaged):
    """Zhou et al. 2016: what both generalise, and what needs no gradient."""
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
    np.testing.assert_allclose(find_heat(model, images, averaged), expected, atol=1e-5)


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
    heat = find_heat(model, image)[0]
    assert np.argwhere(heat).tolist() == [[6 + 8, 17 - 8]]


def test_the_network_stays_as_it_was(known, tmp_path):
    image = draw(SQUARES[0])[None]
    answer, weights, first = known.predict_on_batch(scale(image)), known.get_weights(), None
    for _ in range(3):
        heats = [find(known, image) for find in (find_heat, occlude)]
        first = heats if first is None else first
        np.testing.assert_array_equal(heats, first)
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
    with pytest.raises(CovidLungsError, match="heat map needs"):
        find_heat(build(), np.zeros((1, 24, 24), np.uint8))


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


def test_two_heats_are_compared_by_the_order_of_their_places():
    rising = np.arange(12.0).reshape(3, 4)
    heat = np.stack([rising, rising, rising, np.zeros((3, 4))])
    other = np.stack([rising**3, -rising, np.ones((3, 4)), rising])
    np.testing.assert_allclose(heat_maps.correlate(heat, other), [1, -1, np.nan, np.nan])
