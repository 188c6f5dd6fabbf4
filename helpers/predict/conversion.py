"""Conversion: a network in 32 bits, as ONNX or as LiteRT, and what runs each."""

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.train.backend import keras, without_standard_error

ENDINGS = {"ONNX": "onnx", "LiteRT": "tflite"}  # of the files of each format


class NormalizationInSteps(keras.layers.LayerNormalization):
    """Normalisation over several axes, without weights, that takes the mean of one after another.

    ONNX Runtime and LiteRT add up what they take the mean of number by number. Over the 65,536
    pixels of an X-ray that is exact to 2e-5 only, which moved probabilities of a trained network
    of the recipe `best` by up to 4e-3; in steps it is exact to 2e-6, and they moved by 1e-5.
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


def calculates_in_less(model: keras.Model) -> bool:
    """Return whether a network calculates in less than 32 bits anywhere."""
    described = keras.saving.serialize_keras_object(model)
    return described != _change(described, _to_float32)


def in_float32(model: keras.Model) -> keras.Model:
    """Return a network of the same layers and weights that calculates in 32 bits throughout."""
    return _rebuild(model, _to_float32)


def _rebuild(model: keras.Model, change: Callable[[dict], dict]) -> keras.Model:
    """Return a network of the same weights, each part of whose description was changed."""
    described = _change(keras.saving.serialize_keras_object(model), change)
    known = {NormalizationInSteps.__name__: NormalizationInSteps}
    rebuilt = keras.saving.deserialize_keras_object(described, custom_objects=known)
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _change(part, change: Callable[[dict], dict]):
    """Return a part of a network's description with every dictionary in it changed."""
    if isinstance(part, dict):
        return change({key: _change(value, change) for key, value in part.items()})
    return [_change(value, change) for value in part] if isinstance(part, list) else part


def _to_float32(part: dict) -> dict:
    """Return the precision float32 in place of another."""
    is_precision = part.get("class_name") == "DTypePolicy"
    return part | {"config": {"name": "float32"}} if is_precision else part


def _to_steps(part: dict) -> dict:
    """Return a normalisation in steps in place of one at once."""
    if part.get("class_name") != "LayerNormalization":
        return part
    name = NormalizationInSteps.__name__
    return part | {"module": None, "class_name": name, "registered_name": name}


def convert(model: keras.Model, kind: str) -> bytes:
    """Return a network in 32 bits as the content of a file.

    ONNX takes any number of X-rays at once. LiteRT takes one: with a number that it does not know
    beforehand, it cannot use its fastest code.

    Args:
        model: the network, on TensorFlow.
        kind: `ONNX` or `LiteRT`.

    Raises:
        CovidLungsError: it cannot be converted.
    """
    count = 1 if kind == "LiteRT" else None
    taken = keras.InputSpec(shape=(count, *model.input_shape[1:]), dtype="float32", name="xray")
    exact = _rebuild(model, _to_steps)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the converters say is about themselves
            path = Path(folder) / f"network.{ENDINGS[kind]}"
            exact.export(str(path), format=kind.lower(), verbose=False, input_signature=[taken])
            return path.read_bytes()
    except Exception as error:  # they raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CovidLungsError(
            f"{model.name}: cannot be converted to {kind} ({reason}). Use the versions that the "
            "project names (`uv run --extra export covid-lungs export`), or report this as an "
            "issue."
        ) from error


def open_converted(content: bytes, kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network in a file's content: it answers about one X-ray at a time.

    What it takes is float32 (1, height, width, 1), what it gives float32 (1, ...).
    """
    return _open_onnx(content) if kind == "ONNX" else _open_litert(content)


def _open_onnx(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime  # here, since only an export needs it

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda xray: session.run(None, {name: xray})[0]


def _open_litert(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter  # here, since only an export needs it

    with without_standard_error():  # it tells what it calculates with
        interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
        interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def ask(xray: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], xray)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return ask
