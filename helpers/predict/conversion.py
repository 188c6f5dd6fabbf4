"""Conversion: a network of Keras as the content of an ONNX or LiteRT file, and back to answers."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.train.backend import keras, without_standard_error

ENDINGS = {"ONNX": "onnx", "LiteRT": "tflite"}  # of the files of each format
HELP = (
    "Use TensorFlow and the versions that the project names (`uv run --extra export covid-lungs "
    "export`), or report this as an issue."
)

# Takes an X-ray, float32 (1, height, width, 1), and returns probabilities, float32 (1, ...).
Network = Callable[[np.ndarray], np.ndarray]


class NormalizationInSteps(keras.layers.LayerNormalization):
    """Normalisation without weights that takes the mean over one axis after another.

    The formats' runtimes add numbers up one by one. Over an X-ray's 65,536 pixels at once that
    moved probabilities of the recipe `best` by 2e-3 in ONNX; in steps they moved by 1e-5.
    """

    def call(self, inputs):
        """Return the inputs with the mean 0 and the variance 1 over the axes."""
        centred = inputs - self._mean(inputs)
        variance = self._mean(keras.ops.square(centred))
        return centred * keras.ops.rsqrt(variance + self.epsilon)

    def _mean(self, values):
        for axis in self.axis:
            values = keras.ops.mean(values, axis=axis, keepdims=True)
        return values


def in_float32(model: keras.Model, in_steps: bool = False) -> keras.Model:
    """Return a network of the same weights that calculates in 32 bits throughout.

    The formats' runtimes have no bfloat16. `in_steps` uses NormalizationInSteps.
    """

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.Layer):  # not an operation such as a flip
            config["dtype"] = "float32"
        is_normalisation = isinstance(layer, keras.layers.LayerNormalization)
        kind = NormalizationInSteps if in_steps and is_normalisation else type(layer)
        return kind.from_config(config)

    exact = keras.models.clone_model(model, clone_function=clone, recursive=True)
    exact.set_weights(model.get_weights())
    return exact


@contextmanager
def _converting(kind: str) -> Iterator[None]:
    """Turn the many errors of converters and missing packages into one for users."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converters warn about their own code
            yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CovidLungsError(f"export: {kind} files cannot be made ({reason}). {HELP}") from error


def convert(model: keras.Model, kind: str) -> bytes:
    """Return a network in 32 bits as the content of an `ONNX` or `LiteRT` file.

    ONNX takes any number of X-rays at once; LiteRT takes one, which makes it faster.

    Raises:
        CovidLungsError: it cannot be converted.
    """
    count = 1 if kind == "LiteRT" else None
    taken = keras.InputSpec(shape=(count, *model.input_shape[1:]), dtype="float32", name="xray")
    exact = in_float32(model, in_steps=True)
    with _converting(kind), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network.{ENDINGS[kind]}"
        exact.export(str(path), format=kind.lower(), verbose=False, input_signature=[taken])
        return path.read_bytes()


def open_converted(content: bytes, kind: str) -> Network:
    """Return the network in a file's content, to be run on the processor.

    Raises:
        CovidLungsError: what runs it is not installed, or refuses it.
    """
    with _converting(kind):
        if kind == "ONNX":
            import onnxruntime  # here, since only an export needs it

            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            return lambda xray: session.run(None, {name: xray})[0]

        from ai_edge_litert.interpreter import Interpreter  # here, for the same reason

        with without_standard_error():  # it writes there how it calculates
            interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
            interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def predict(xray: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], xray)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return predict
