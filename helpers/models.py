"""Models: the CNN that detects COVID and the U-Net that segments lungs."""

from helpers.backend import keras
from helpers.recipes import Settings

layers = keras.layers


def build_detector(settings: Settings) -> keras.Sequential:
    """Return the CNN of the original work: a probability of COVID for each X-ray.

    Each block is a convolution of 3x3 filters, ReLU and max pooling by two; a dense layer of 256
    units and a sigmoid follow.

    Returns:
        float32 (N, image_size, image_size, 1) in 0..1 -> float32 (N, 1) in 0..1.
    """
    model = keras.Sequential(name="detector")
    model.add(keras.Input((settings.image_size, settings.image_size, 1), name="xray"))
    for filters in settings.filters:
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(256, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid", name="covid_probability"))
    return model


def build_unet(settings: Settings) -> keras.Model:
    """Return a U-Net (Ronneberger et al. 2015) with batch normalisation: lung or not, each pixel.

    Going down, each level convolves and halves the image; going up, each level doubles it and
    joins what the same level saw on the way down. The bottom has twice the last level's filters.

    Returns:
        float32 (N, image_size, image_size, 1) in 0..1 -> float32 of the same shape in 0..1.
    """
    inputs = keras.Input((settings.image_size, settings.image_size, 1), name="xray")
    features, skipped = inputs, []
    for filters in settings.filters:
        features = _convolve_twice(features, filters)
        skipped.append(features)
        features = layers.MaxPooling2D(2)(features)
    features = _convolve_twice(features, 2 * settings.filters[-1])
    for filters, skip in zip(reversed(settings.filters), reversed(skipped), strict=True):
        features = layers.Conv2DTranspose(filters, 2, strides=2)(features)
        features = layers.Concatenate()([features, skip])
        features = _convolve_twice(features, filters)
    outputs = layers.Conv2D(1, 1, activation="sigmoid", name="lung_probability")(features)
    return keras.Model(inputs, outputs, name="unet")


def _convolve_twice(features, filters: int):
    """Return features after two convolutions of 3x3, each normalised and rectified."""
    for _ in range(2):
        # The normalisation that follows has a bias of its own.
        features = layers.Conv2D(filters, 3, padding="same", use_bias=False)(features)
        # Keras' own 0.99 needs thousands of steps before its running means can be trusted.
        features = layers.BatchNormalization(momentum=0.9)(features)
        features = layers.ReLU()(features)
    return features
