"""How fast the recipe `best` loads, trains and predicts, beside the original recipe's network.

`uv run python -m tests.benchmarks.speed`: synthetic X-rays, one run, the same images for all.
"""

import time
from collections.abc import Callable

import numpy as np

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import draw_xray
from helpers.train import backend, inference, models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe

XRAYS = 64
ORIGINAL_STEPS = 2  # each takes seconds
MATRIX = 2048  # rows and columns of the product that measures the machine's peak
FORWARD_AND_BACK = 3  # times the operations of looking forward: once, and for inputs and weights


def fastest(run: Callable[[], object], times: int) -> float:
    """Return the seconds of the fastest of some runs, after one to warm up."""
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def count_operations(model: keras.Model) -> float:
    """Return the multiplications and additions of all convolutions for one X-ray."""
    total = 0.0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += 2 * layer.kernel.shape[2] * np.prod(layer.output.shape[1:])
        elif isinstance(layer, keras.layers.Conv2D):
            total += 2 * np.prod(layer.kernel.shape[:3]) * np.prod(layer.output.shape[1:])
    return total


def measure_peak() -> float:
    """Return the operations a second of a large matrix product in 32 bits."""
    matrix = keras.random.normal((MATRIX, MATRIX))
    multiply = lambda: keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix))  # noqa: E731
    return 2 * MATRIX**3 / fastest(multiply, 5)


def make_model(settings: SegmentationSettings, steps: int) -> keras.Model:
    """Return the compiled network of a recipe."""
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, steps)
    return model


def main() -> None:
    """Print seconds a step of both networks, and images a second of ours."""
    best = find_recipe("best").segmentation
    original = find_recipe("original").segmentation.override(image_size=best.image_size)
    training.make_reproducible(0)
    print("precision:", backend.use_fastest(best, backend.look_at_machine()))
    drawn = [draw_xray("Normal", seed) for seed in range(XRAYS)]
    size = (best.image_size, best.image_size)
    xrays = np.stack([resize_image(image, size) for image, _ in drawn])
    masks = np.stack([resize_mask(mask // 255, size) for _, mask in drawn])
    ours = Batches(xrays, masks, np.arange(XRAYS), best.batch_size, 0, best.augmentation)
    model = make_model(best, len(ours))
    loading = fastest(lambda: [ours[step] for step in range(len(ours))], 3) / XRAYS
    held = [ours[step] for step in range(len(ours))]
    step = fastest(lambda: model.train_on_batch(*held[0]), 10)
    predicting = fastest(lambda: inference.predict(model, xrays), 3) / XRAYS
    share = FORWARD_AND_BACK * count_operations(model) * best.batch_size / step / measure_peak()
    print(f"loading {1 / loading:.0f}, training {best.batch_size / step:.1f}, ")
    print(f"predicting {1 / predicting:.1f} X-rays a second at {best.image_size} pixels")
    print(f"loading alone is {step / best.batch_size / loading:.1f} times as fast as training")
    print(f"training reaches {share:.0%} of the machine's matrix product")
    other = make_model(original, 1)
    slow = fastest(lambda: other.train_on_batch(*held[0]), ORIGINAL_STEPS)
    print(
        f"a step of {best.batch_size} X-rays: original {slow:.2f} s ({other.count_params():,} "
        f"weights), best {step:.3f} s ({model.count_params():,} weights): {slow / step:.0f} times"
    )


if __name__ == "__main__":
    main()
