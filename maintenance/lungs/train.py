"""Train the lung network inside the package from seeds, and write its weights.

`uv run --group dev python -m maintenance.lungs.train --shenzhen SOURCE --viral SOURCE --out FOLDER`

It learns from Shenzhen's X-rays and from drawn ones, on two cores for half an hour; a stopped
training goes on after its last whole epoch. Viral Pneumonia, of another hospital, decides only how
far a chest X-ray may be from those that are known. MODEL_CARD.md beside the weights says why it is
done so, and what the network is worth.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from helpers.audit.mask_shapes import HEART_IN, measure_masks, shrink_mask
from helpers.data import arrays
from helpers.data.images import resize_image, resize_mask
from helpers.data.sources import DataSet, find_data
from helpers.data.synthetic import CLASS_NAMES, draw_xray, image_seed
from helpers.data.threads import read_all
from helpers.predict.chests import describe_frames, measure_frames, write_frames
from helpers.split.index import build_index
from helpers.train import backend, training
from helpers.train.batches import Batches
from helpers.train.inference import predict
from helpers.train.lungs.network import SETTINGS, build_network, write_weights
from helpers.train.lungs.seen import write_seen
from helpers.train.models import build_unet
from helpers.train.postprocessing import clean_mask, draw_lungs
from maintenance.lungs.opacities import Xrays, cover_some

SIZE = SETTINGS.image_size
DRAWN = {False: 1200, True: 1800}  # X-rays as of the demo, and varied ones
DRAWN_SEED = 777  # of a data set that no demo draws
COVERED = 0.4  # share of the X-rays whose lungs are filled
VERSIONS = 5  # of each X-ray of Shenzhen, each with other lungs filled
VALIDATION = 10  # each so manieth X-ray of Shenzhen tells how training goes
FARTHEST = 0.999  # share of another hospital's X-rays that count as chests


def read_xrays(data_set: DataSet, index: pd.DataFrame) -> Xrays:
    """Return the X-rays and masks of a data set."""
    prepare = (arrays.prepare_images, arrays.prepare_masks)
    return Xrays(*(np.array(part(data_set, index, SIZE)) for part in prepare))


def leave_heart_out(xrays: Xrays) -> Xrays:
    """Return the X-rays without those whose mask, against the rule of the set, holds the heart."""
    fills = measure_masks([shrink_mask(mask) for mask in xrays.masks])["lower_fill"]
    return select(xrays, (fills <= HEART_IN).to_numpy())


def select(xrays: Xrays, rows: np.ndarray) -> Xrays:
    """Return some of the X-rays."""
    return Xrays(*(part[rows] for part in xrays))


def join(*parts: Xrays) -> Xrays:
    """Return the X-rays of all parts."""
    return Xrays(*map(np.concatenate, zip(*parts, strict=True)))


def draw_all() -> Xrays:
    """Return the drawn X-rays."""
    asked = [(number, varied) for varied, count in DRAWN.items() for number in range(count)]
    pairs = list(read_all(lambda one: _draw(*one), asked, "drawing X-rays"))
    return Xrays(*map(np.stack, zip(*pairs, strict=True)))


def _draw(number: int, varied: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn X-ray and its mask."""
    class_name = CLASS_NAMES[number % len(CLASS_NAMES)]
    seed = image_seed(class_name, DRAWN_SEED, 1 + number)
    image, mask = draw_xray(class_name, seed, varied)
    # A large heart leaves slivers of lung beside it.
    return resize_image(image, (SIZE, SIZE)), clean_mask(resize_mask(mask // 255, (SIZE, SIZE)))


def train(xrays: Xrays, validation: Xrays, folder: Path, seed: int) -> backend.keras.Model:
    """Return the U-Net that learnt from X-rays; the folder keeps it, and a stopped training."""
    training.make_reproducible(seed)
    backend.use_fastest(SETTINGS, backend.look_at_machine())
    rows, size = np.arange(len(xrays.images)), SETTINGS.batch_size
    batches = Batches(*xrays, rows, size, seed, SETTINGS.augmentation)
    checked = Batches(*validation, np.arange(len(validation.images)), size)
    unet = build_unet(SETTINGS)
    training.compile_segmenter(unet, SETTINGS, len(batches))
    folder.mkdir(parents=True, exist_ok=True)
    training.train(unet, batches, checked, SETTINGS.epochs, folder)
    return unet


def know_chests(unet: backend.keras.Model, known: np.ndarray, others: np.ndarray) -> None:
    """Write what lies around the lungs of known chests, and how far another hospital's are."""
    drawn = [
        [draw_lungs(one, one.shape) for one in predict(build_network(unet), images)]
        for images in (known, others)
    ]
    frames = describe_frames(known, drawn[0])
    farthest = np.quantile(measure_frames(others, drawn[1], frames), FARTHEST)
    write_frames(frames, float(farthest))


def main() -> None:
    """Train the network and write what belongs to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shenzhen", required=True)
    parser.add_argument("--viral", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = [find_data(source) for source in (options.shenzhen, options.viral)]
    indexes = [build_index(data_set)[0] for data_set in sets]
    shenzhen = leave_heart_out(read_xrays(sets[0], indexes[0]))
    number = np.arange(len(shenzhen.images))
    validation = select(shenzhen, number % VALIDATION == 0)
    adults = select(shenzhen, number % VALIDATION != 0)
    drawn = cover_some(draw_all(), COVERED, options.seed)
    own = [cover_some(adults, COVERED, version) for version in range(VERSIONS)]
    unet = train(join(drawn, *own), validation, options.out, options.seed)
    write_weights(unet)
    # With those left out for their mask: a set is seen as a whole.
    write_seen([sets[0].read_xray(file) for file in indexes[0]["file"]])
    viral = arrays.prepare_images(sets[1], indexes[1], SIZE)
    know_chests(unet, shenzhen.images, viral)


if __name__ == "__main__":
    main()
