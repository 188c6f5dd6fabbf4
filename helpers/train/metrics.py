"""Metrics: IoU, Dice coefficient and Dice loss, of masks and of probabilities.

All take masks of shape (N, height, width, 1) and return one value an image, shape (N,), in float32.
`true` and `predicted` hold zeros and ones; `threshold` makes such a mask of `probabilities`.
"""

from helpers.train.backend import keras
from helpers.train.recipes import THRESHOLD

ops = keras.ops

SMOOTHING = 1.0  # one pixel: keeps the soft Dice of two empty masks at 1 and its gradient finite


def threshold(probabilities):
    """Return 1 where the probability of lung is above the threshold of 0.5, else 0."""
    return ops.cast(ops.cast(probabilities, "float32") > THRESHOLD, "float32")


def count_overlap(true, predicted):
    """Return true positives, false positives and false negatives in pixels, each of shape (N,)."""
    true, predicted = ops.cast(true, "float32"), ops.cast(predicted, "float32")
    axes = (1, 2, 3)
    tp = ops.sum(true * predicted, axis=axes)
    return tp, ops.sum(predicted, axis=axes) - tp, ops.sum(true, axis=axes) - tp


def iou(true, predicted):
    """Return intersection over union (Jaccard 1912), tp / (tp + fp + fn); 1 if both are empty."""
    tp, fp, fn = count_overlap(true, predicted)
    return _ratio(tp, tp + fp + fn)


def dice(true, predicted):
    """Return the Dice coefficient (Dice 1945), 2 tp / (2 tp + fp + fn); 1 if both are empty."""
    tp, fp, fn = count_overlap(true, predicted)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part, whole):
    """Return part / whole, and 1 where the whole is zero: two empty masks agree."""
    empty = whole == 0
    return ops.where(empty, 1.0, part / ops.where(empty, 1.0, whole))


def dice_loss(true, probabilities):
    """Return 1 - the Dice coefficient of probabilities (Milletari et al. 2016, unsquared sums)."""
    tp, fp, fn = count_overlap(true, probabilities)
    return 1 - (2 * tp + SMOOTHING) / (2 * tp + fp + fn + SMOOTHING)


def dice_and_cross_entropy(true, probabilities):
    """Return Dice loss plus the mean binary cross-entropy of the pixels.

    Dice loss looks at the whole lung, cross-entropy at every pixel alike. Together they are the
    usual loss for medical images (Isensee et al., nnU-Net, 2021).
    """
    probabilities = ops.cast(probabilities, "float32")
    crossed = keras.losses.binary_crossentropy(ops.cast(true, "float32"), probabilities)
    return dice_loss(true, probabilities) + ops.mean(crossed, axis=(1, 2))


def thresholded_dice(true, probabilities):
    """Return the Dice coefficient of the thresholded probabilities, to watch while training."""
    return dice(true, threshold(probabilities))


def thresholded_iou(true, probabilities):
    """Return the IoU of the thresholded probabilities, to watch while training."""
    return iou(true, threshold(probabilities))
