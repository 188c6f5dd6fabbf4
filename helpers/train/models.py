"""Models: the CNN that detects COVID and the U-Net that segments lungs."""

from helpers.train.backend import keras
from helpers.train.recipes import DetectionSettings, SegmentationSettings

layers = keras.layers


def build_detector(settings: DetectionSettings) -> keras.Model:
    """Return the recipe's CNN, which predicts a probability of COVID for each X-ray.

    It maps float32 (N, image_size, image_size, 1) in 0..1 to float32 (N, 1) in 0..1.
    """
    return _build_pooled(settings) if settings.pooled else _build_original(settings)


def _build_original(settings: DetectionSettings) -> keras.Sequential:
    """Return the CNN of the original work: convolutions and max pooling, then a dense layer."""
    model = keras.Sequential(name="detector")
    model.add(keras.Input((settings.image_size, settings.image_size, 1), name="xray"))
    for filters in settings.filters:
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(256, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid", name="covid_probability"))
    return model


def _build_pooled(settings: DetectionSettings) -> keras.Model:
    """Return a CNN that judges the mean of each feature over the X-ray (Lin et al. 2014).

    Without weights for single places the network can memorise less.
    """
    inputs = keras.Input((settings.image_size, settings.image_size, 1), name="xray")
    features = _standardise(inputs) if settings.standardised else inputs
    for filters in settings.filters:
        features = layers.MaxPooling2D(2)(_convolve_twice(features, filters))
    features = layers.GlobalAveragePooling2D()(features)
    outputs = layers.Dense(1, activation="sigmoid", name="covid_probability")(features)
    return keras.Model(inputs, outputs, name="detector")


def build_unet(settings: SegmentationSettings, target: str = "lung") -> keras.Model:
    """Return a U-Net (Ronneberger et al. 2015) with batch normalisation, which judges each pixel.

    Going down, each level convolves and halves the image; going up, each level doubles it and
    joins the features of the same level on the way down. The bottom has twice the last level's
    filters. A strided convolution shrinks the input `patch`-fold, which makes all between faster;
    bilinear upsampling restores the size. It maps float32 (N, image_size, image_size, 1) in 0..1
    to the same shape and range; `target` names what the probability is of, lung or infection.
    """
    inputs = keras.Input((settings.image_size, settings.image_size, 1), name="xray")
    features, skipped = inputs, []
    if settings.standardised:
        features = _standardise(features)
    if settings.patch > 1:
        features = _convolve(features, settings.filters[0], settings.patch, settings.patch)
    for filters in settings.filters:
        features = _convolve_twice(features, filters)
        skipped.append(features)
        features = layers.MaxPooling2D(2)(features)
    features = _convolve_twice(features, 2 * settings.filters[-1])
    for filters, skip in zip(reversed(settings.filters), reversed(skipped), strict=True):
        features = layers.Conv2DTranspose(filters, 2, strides=2)(features)
        features = layers.Concatenate()([features, skip])
        features = _convolve_twice(features, filters)
    features = layers.Conv2D(1, 1)(features)
    if settings.patch > 1:
        features = layers.UpSampling2D(settings.patch, interpolation="bilinear")(features)
    # Always in 32 bits: near 0 and 1, 16 are too few.
    outputs = layers.Activation("sigmoid", dtype="float32", name=f"{target}_probability")(features)
    return keras.Model(inputs, outputs, name="unet")


def look_twice(model: keras.Model) -> keras.Model:
    """Return a network that averages what a U-Net predicts for an X-ray and its mirror image.

    Chests are nearly symmetric: what one look misses, the other may see. It takes twice the time
    and shares the U-Net's weights.
    """
    inputs = keras.Input(model.input_shape[1:], name="xray")
    # A new model without the loss, which a loaded network must not ask for.
    look = keras.Model(model.input, model.output, name=model.name)
    mirrored = keras.ops.flip(look(keras.ops.flip(inputs, axis=2)), axis=2)
    outputs = layers.Average(dtype="float32", name="mean_probability")([look(inputs), mirrored])
    return keras.Model(inputs, outputs, name="unet_twice")


def look_from_afar(model: keras.Model, margin: int) -> keras.Model:
    """Return a network that averages what one predicts for an X-ray and for it within a margin.

    The margin is black, `margin` pixels wide at each edge, and the whole is shrunk to the
    network's size. From afar a tightly cropped chest looks like those that a network knows. It
    takes twice the time and shares the network's weights.
    """
    inputs = keras.Input(model.input_shape[1:], name="xray")
    size = model.input_shape[1]
    wide = layers.ZeroPadding2D(margin)(inputs)
    small = model(layers.Resizing(size, size, dtype="float32")(wide))
    large = layers.Resizing(size + 2 * margin, size + 2 * margin, dtype="float32")(small)
    inner = layers.Cropping2D(margin, dtype="float32")(large)
    outputs = layers.Average(dtype="float32", name="mean_probability")([model(inputs), inner])
    return keras.Model(inputs, outputs, name=f"{model.name}_from_afar")


def _standardise(xrays):
    """Return each X-ray with mean 0 and variance 1 over its pixels, without any weights."""
    return layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=1e-5, center=False, scale=False, name="standardised"
    )(xrays)


def _convolve_twice(features, filters: int):
    """Return features after two convolutions of 3x3, each normalised and rectified."""
    return _convolve(_convolve(features, filters, 3), filters, 3)


def _convolve(features, filters: int, width: int, stride: int = 1):
    """Return features after a convolution, normalised and rectified."""
    # No bias: the normalisation that follows has its own.
    convolution = layers.Conv2D(filters, width, strides=stride, padding="same", use_bias=False)
    # Keras' own 0.99 needs thousands of steps before its running means can be trusted.
    normalisation = layers.BatchNormalization(momentum=0.9)
    return layers.ReLU()(normalisation(convolution(features)))
