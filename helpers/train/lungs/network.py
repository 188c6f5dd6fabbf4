"""Network: the lung network of the package, built in code and filled with its trained weights."""

import hashlib
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

from helpers.data.images import resize_image
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import read_arrays, write_arrays
from helpers.storage.folders import shown
from helpers.train.backend import keras, look_at_machine, use_fastest
from helpers.train.inference import predict
from helpers.train.models import build_unet, look_from_afar, look_twice
from helpers.train.postprocessing import draw_lungs
from helpers.train.recipes import SegmentationSettings

NAME = "covid_lungs"  # of the network, which tells it from those of runs
VERSION = "1"  # of the weights
LICENCE = "CC BY-NC-SA 4.0"  # of the weights; that of the code is in the project's LICENSE
FOLDER = Path(__file__).parent
WEIGHTS, CARD = FOLDER / "weights.npz", FOLDER / "MODEL_CARD.md"
# Those of the recipe `best` when it was trained; the recipe may change, these weights do not.
SETTINGS = SegmentationSettings(
    image_size=256,
    filters=(24, 48, 96, 128),
    epochs=10,
    batch_size=16,
    learning_rate=3e-3,
    patch=4,
    standardised=True,
    augmentation="strong",
    cross_entropy=True,
    schedule="cosine",
    mixed_precision=True,
    compiled=True,
)
RESTORE = "Install covid-lungs again, or restore the file."  # where one of the package is damaged
_TURN = Lock()
MARGIN = 24  # pixels of 256 around an X-ray that is looked at from afar


def segment(image: np.ndarray) -> np.ndarray:
    """Return the lungs of a chest X-ray: zeros and ones, uint8, of its height and width.

    Heart and mediastinum are left out. A picture of anything else gets a mask, too: `covid-lungs
    predict` says what is no chest X-ray.

    Args:
        image: uint8, (height, width), bright where rays were stopped, as `images.read_xray` reads
            it from a file.

    Raises:
        ValueError: it is no such array.
        CovidLungsError: the weights cannot be read.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        raise ValueError(
            f"image: {image.dtype} {image.shape}, but a grey X-ray is uint8 (height, width). "
            "helpers.data.images.read_xray returns one."
        )
    network = load_network()
    resized = resize_image(image, network.input_shape[1:3])
    return draw_lungs(predict(network, resized[None])[0], image.shape)


def load_network() -> keras.Model:
    """Return the trained network: X-rays float32 (N, 256, 256, 1) in 0..1 to probabilities of lung.

    It is loaded once, also if several threads ask, and calculates in the precision that is fastest
    on this machine.

    Raises:
        CovidLungsError: the weights are missing or damaged.
    """
    with _TURN:
        return _load()


@cache
def _load() -> keras.Model:
    """Return the network; Keras builds all networks in one precision meanwhile."""
    usual = keras.config.dtype_policy()
    try:
        use_fastest(SETTINGS, look_at_machine())
        unet = build_unet(SETTINGS)
        network = build_network(unet)
    finally:
        keras.config.set_dtype_policy(usual)
    _fill(unet, f"{shown(WEIGHTS)}: missing or damaged. {RESTORE}")
    network.make_predict_function()  # before several threads ask for it
    return network


def describe_network() -> str:
    """Return in words which network this is, in which file, under which licence, and how to use it.

    Raises:
        CovidLungsError: the weights are missing or damaged.
    """
    network = load_network()
    content = WEIGHTS.read_bytes()
    height, width = network.input_shape[1:3]
    rows = {
        "version": VERSION,
        "weights": f"{shown(WEIGHTS)} ({len(content) / 1e6:.1f} MB)",
        "SHA-256": hashlib.sha256(content).hexdigest(),
        "input": f"{height} × {width} pixels, to which X-rays of any size are resized",
        "licence": f"{LICENCE} (of the weights)",
        "card": shown(CARD),
        "use": "covid-lungs predict my-xray.png",
    }
    lines = [f"  {name:8} {text}" for name, text in rows.items()]
    return "\n".join(["lungs: draws both lungs in a chest X-ray", *lines])


def build_network(unet: keras.Model) -> keras.Model:
    """Return the network that looks four times with a U-Net: mirrored, from afar, and both."""
    network = look_from_afar(look_twice(unet), MARGIN)
    return keras.Model(network.inputs[0], network.outputs[0], name=NAME)


def _read_weights() -> list[np.ndarray]:
    """Return the stored weights of the U-Net, in 16 bits, in its order."""
    return read_arrays(WEIGHTS, None, RESTORE)


def _fill(unet: keras.Model, refusal: str) -> None:
    """Give a U-Net the stored weights, or refuse it if it has others."""
    weights = _read_weights()
    if [weight.shape for weight in weights] != [weight.shape for weight in unet.weights]:
        raise CovidLungsError(refusal)
    unet.set_weights([weight.astype("float32") for weight in weights])


def give_weights(unet: keras.Model) -> None:
    """Let a U-Net begin with the weights of the package's lung network.

    What it learnt of chests, such as where ribs and heart are, need not be learnt again.

    Raises:
        CovidLungsError: the U-Net has other layers, or the weights cannot be read.
    """
    _fill(
        unet,
        "from_lungs: this U-Net has other layers than the lung network of the package. Choose "
        f"filters {SETTINGS.filters} and patch {SETTINGS.patch}, or leave from_lungs out.",
    )


def write_weights(unet: keras.Model) -> None:
    """Write a trained U-Net's weights in 16 bits, in place of the package's."""
    weights = unet.get_weights()
    arrays = {f"{number:03}": value.astype("float16") for number, value in enumerate(weights)}
    write_arrays(WEIGHTS, **arrays)
