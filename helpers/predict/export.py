"""Export: a run's networks as ONNX and LiteRT files, for programs without Keras."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import getsource
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.data import decoding
from helpers.data.arrays import prepare_images
from helpers.data.decoding import find_depth, reduce_depth, to_grey
from helpers.data.images import resize_image
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import calibration
from helpers.evaluate.metrics_file import read_metrics
from helpers.predict.networks import load_own
from helpers.report.pages import render
from helpers.report.provenance import describe_code, find_source
from helpers.split.splits import read_split
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, partial_folder, refusing
from helpers.storage.folders import shown
from helpers.train import postprocessing, recipes
from helpers.train.backend import keras, without_standard_error
from helpers.train.batches import scale
from helpers.train.postprocessing import draw_infection, draw_lungs

FOLDER = "export"  # in the run folder
# The names of a run's networks in the files, by their names in `networks.Networks`.
NETWORKS = {"lungs": "segmenter", "detector": "detector", "infection": "infection"}
ENDINGS = {"ONNX": "onnx", "LiteRT": "tflite"}  # of the files of each format
TEXTS = {"read_xray.py": "read_xray.txt", "README.md": "export.md"}  # files and their templates
HELP = (
    "Use TensorFlow and the versions that the project names (`uv run --extra export covid-lungs "
    "export`), or report this as an issue."
)
# The functions of read_xray.py, so that it does exactly what the project does: those for every
# network, and those that make a mask of a network's probabilities.
STEPS = (find_depth, reduce_depth, to_grey, resize_image, scale)
MASK_STEPS = {
    "segmenter": (draw_lungs, postprocessing.clean_mask, postprocessing._count_pixels),
    "infection": (draw_infection,),
}
LARGEST_DIFFERENCE = 1e-4  # of two probabilities
MOST_WRONG = 1e-4  # share of the pixels of all masks

# Takes an X-ray, float32 (1, height, width, 1), and returns probabilities, float32 (1, ...).
Network = Callable[[np.ndarray], np.ndarray]
# Takes probabilities, float32 (height, width), and a size; returns a mask, uint8 of that size.
Draw = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def export_run(run_folder: Path, source: str | None = None) -> pd.DataFrame:
    """Write a run's own networks, and how to use them, into its folder `export`.

    Nothing is written unless every file agrees with Keras on the run's test split; then an earlier
    export is replaced.

    `source` is that of the run's X-rays, None for where the run had them. Returned are the rows of
    `compare` of each network, with its name as `network`.

    Raises:
        CovidLungsError: the X-rays are not found or not the run's, a network cannot be converted
            (as when a package is missing) or disagrees, or a file cannot be written.
    """
    data_set = find_data(source or find_source(run_folder))
    split = read_split(run_folder, data_set)
    test = split[split["split"] == "test"]
    with keras.device("cpu:0"):  # a GPU may calculate in less than 32 bits
        networks = {NETWORKS[name]: model for name, model in load_own(run_folder).items()}
        chosen = _read_chosen(run_folder) if "detector" in networks else {}
        files, tables = {}, []
        for name, model in networks.items():
            contents, table = _export(name, model, data_set, test)
            files |= contents
            tables.append(table.assign(network=name))
    table = pd.concat(tables, ignore_index=True)
    drawn = [name for name in networks if name in MASK_STEPS]
    steps = [*STEPS, *(step for name in drawn for step in MASK_STEPS[name])]
    facts = {
        "code": describe_code(),
        "data": data_set.label,
        "sizes": {name: model.input_shape[1] for name, model in networks.items()},
        "chosen": chosen,
        "table": agreement_table(table),
        "xrays": len(test),
        "drawn": drawn,
        "steps": "\n\n".join(getsource(step) for step in steps),
        "THRESHOLD": recipes.THRESHOLD,
        "LUNGS": postprocessing.LUNGS,
        "SPECK_SHARE": postprocessing.SPECK_SHARE,
        "LEAST": calibration.LEAST,
        "DEPTHS": decoding.DEPTHS,
        "BEYOND": decoding.BEYOND,
    }
    files |= {name: f"{render(template, **facts)}\n".encode() for name, template in TEXTS.items()}
    _write(make_folder(run_folder / FOLDER), files)
    return table


def _read_chosen(run_folder: Path) -> dict[str, float]:
    """Return the detector's threshold and temperature, chosen on the validation split."""
    try:
        metrics = read_metrics(run_folder / "detection")
        return {name: float(metrics[name]["value"]) for name in ("threshold", "temperature")}
    except (ValueError, KeyError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(run_folder)}/detection/metrics.json is damaged: run 03_detect_covid again."
        ) from error


def _export(
    name: str, model: keras.Model, data_set: DataSet, test: pd.DataFrame
) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Return a network as files, by their names, and how far each is from Keras."""
    contents, networks = {}, {"Keras, as trained": model.predict_on_batch}
    for kind, ending in ENDINGS.items():
        content = contents[f"{name}.{ending}"] = convert(model, kind)
        networks[kind] = open_converted(content, kind)
    images = prepare_images(data_set, test, model.input_shape[1])
    sizes = list(zip(test["height"], test["width"], strict=True))
    steps = MASK_STEPS.get(name)
    draw = steps[0] if steps else None
    table = compare(in_float32(model).predict_on_batch, networks, images, sizes, draw)
    refuse_disagreement(name, table)
    return contents, table


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


def compare(
    right: Network,
    networks: dict[str, Network],
    images: np.ndarray,
    sizes: list[tuple[int, int]],
    draw: Draw | None,
) -> pd.DataFrame:
    """Return how far networks are from the right one, each run on one X-ray at a time.

    Args:
        right: the network to compare with.
        networks: the others by their names, such as `ONNX`.
        images: uint8, (N, image_size, image_size).
        sizes: height and width of each X-ray, and so of its mask, in pixels.
        draw: what makes a mask of the probabilities; None for a detector.

    Returns:
        a row for each network: its name as `format`, the largest `difference` of a probability,
        and the share of `equal_pixels` of the masks, NaN for a detector.
    """
    differences, equal = dict.fromkeys(networks, 0.0), dict.fromkeys(networks, 0)
    pixels = 0
    pairs = zip(images, sizes, strict=True)
    for image, size in tqdm(pairs, "comparing", total=len(images), unit="file", disable=None):
        xray = scale(image[None])
        expected = right(xray)
        mask = _draw(expected, size, draw)
        pixels += mask.size
        for name, network in networks.items():
            found = network(xray)
            difference = np.abs(found - expected).max()
            differences[name] = np.maximum(differences[name], difference)  # NaN stays NaN
            equal[name] += (_draw(found, size, draw) == mask).sum()
    shares = [count / pixels if pixels else np.nan for count in equal.values()]
    return pd.DataFrame(
        {"format": [*networks], "difference": [*differences.values()], "equal_pixels": shares}
    )


def _draw(probabilities: np.ndarray, size: tuple[int, int], draw: Draw | None) -> np.ndarray:
    """Return the mask that a network predicts, without any pixels for a detector."""
    return draw(probabilities[0, ..., 0], size) if draw else np.empty(0)


def refuse_disagreement(name: str, table: pd.DataFrame) -> None:
    """Stop if a converted network disagrees with Keras; `table` is what `compare` returns.

    Raises:
        CovidLungsError: masks or probabilities differ by too much, or are not numbers.
    """
    for row in table[table["format"].isin(ENDINGS)].itertuples():
        wrong = 0 if np.isnan(row.equal_pixels) else 1 - row.equal_pixels
        if row.difference <= LARGEST_DIFFERENCE and wrong <= MOST_WRONG:
            continue
        raise CovidLungsError(
            f"{name}: as {row.format} it disagrees with Keras on the test split (probabilities "
            f"differ by up to {row.difference:.1e}, {wrong:.2%} of mask pixels differ), so nothing "
            f"was written. {HELP}"
        )


def agreement_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare`, with a column `network` added to them, as texts to read."""
    shares = np.floor(1e6 * table["equal_pixels"]) / 1e4  # 100 only if all are equal
    return pd.DataFrame(
        {
            "network": table["network"],
            "format": table["format"],
            "largest difference": table["difference"].map("{:.1e}".format),
            "equal pixels": shares.map("{:.4f} %".format).replace("nan %", "-"),
        }
    )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Replace an earlier export by these files, once all are written."""
    names = [f"{name}.{ending}" for name in NETWORKS.values() for ending in ENDINGS.values()]
    with refusing(folder, "--run"), partial_folder(folder) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        for name in (*TEXTS, *names):
            (folder / name).unlink(missing_ok=True)
        for name in files:
            (partial / name).replace(folder / name)


def describe_export(table: pd.DataFrame, run_folder: Path) -> str:
    """Return for a terminal what was exported, how it agrees, and where it is."""
    return (
        f"{agreement_table(table).to_string(index=False)}\n"
        f"Made in {shown(run_folder / FOLDER)}: *.onnx, *.tflite, {', '.join(TEXTS)} (how to use "
        "them)\n\nNot a medical device."
    )
