"""Export: a run's networks as ONNX and LiteRT files, for programs without Keras."""

from importlib.util import find_spec
from inspect import getsource
from pathlib import Path

import pandas as pd

from helpers.data import decoding
from helpers.data.arrays import prepare_images
from helpers.data.decoding import find_depth, reduce_depth, to_grey
from helpers.data.images import resize_image
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import calibration, postprocessing
from helpers.evaluate.metrics_file import read_metrics
from helpers.predict.agreement import Network, agreement_table, compare, refuse_disagreement
from helpers.predict.conversion import (
    ENDINGS,
    calculates_in_less,
    convert,
    in_float32,
    open_converted,
)
from helpers.predict.prediction import load_networks
from helpers.report.provenance import describe_environment, find_source
from helpers.report.templates import render
from helpers.split.splits import read_split
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, partial_folder, refusing
from helpers.storage.folders import shown
from helpers.train import recipes
from helpers.train.backend import keras
from helpers.train.batches import scale

FOLDER = "export"  # in the run folder
NETWORKS = ("segmenter", "detector")  # in the order of `load_networks`
TEXTS = {"read_xray.py": "read_xray.txt", "README.md": "export.md"}  # files and their templates
NEEDED = ("tf2onnx", "onnxruntime", "ai_edge_litert")
# What the script that reads an X-ray consists of, so that it does just what the project does.
STEPS = (
    find_depth,
    reduce_depth,
    to_grey,
    resize_image,
    scale,
    postprocessing.draw_lungs,
    postprocessing.clean_mask,
    postprocessing._count_pixels,
)


def export_run(run_folder: Path, source: str | None = None) -> pd.DataFrame:
    """Write a run's networks, and how to use them, into its folder `export`.

    Nothing is written unless every file answers as Keras does on the run's test split; then all
    of an earlier export is replaced.

    Args:
        run_folder: of a run with a trained segmenter.
        source: of the run's X-rays; None: as its files tell.

    Returns:
        the rows of `agreement.compare` of each network, with its name as `network`.

    Raises:
        CovidLungsError: something needed is not installed, the X-rays are not found or not the
            run's, a network cannot be converted or answers otherwise, or a file cannot be written.
    """
    _require_what_is_needed()
    data_set = find_data(source or find_source(run_folder))
    split = read_split(run_folder, data_set)
    test = split[split["split"] == "test"]
    with keras.device("cpu:0"):  # a GPU may calculate in less than 32 bits
        networks = dict(zip(NETWORKS, load_networks(run_folder), strict=False))
        chosen = _read_chosen(run_folder) if "detector" in networks else {}
        files, tables = {}, []
        for name, model in networks.items():
            contents, table = _export(name, model, data_set, test)
            files |= contents
            tables.append(table.assign(network=name))
    table = pd.concat(tables, ignore_index=True)
    facts = _describe(data_set, networks, table, len(test)) | {"chosen": chosen}
    files |= {name: f"{render(template, **facts)}\n".encode() for name, template in TEXTS.items()}
    _write(make_folder(run_folder / FOLDER), files)
    return table


def _require_what_is_needed() -> None:
    """Stop if a package is not installed, or Keras works on another backend than TensorFlow."""
    missing = [name.replace("_", "-") for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CovidLungsError(
            f"export: {', '.join(missing)} must be installed for it. In a checkout, "
            "`uv run --extra export covid-lungs export` does that; elsewhere, "
            f"`pip install {' '.join(missing)}`."
        )
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise CovidLungsError(
            f"KERAS_BACKEND is {backend!r}: LiteRT files can be made with TensorFlow only. Unset "
            "it; networks trained with another backend can be exported, too."
        )


def _read_chosen(run_folder: Path) -> dict[str, float]:
    """Return what was chosen on the validation split: the detector's threshold and temperature."""
    try:
        figures = read_metrics(run_folder / "detection")
        return {name: float(figures[name]["value"]) for name in ("threshold", "temperature")}
    except (ValueError, KeyError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(run_folder)}/detection/metrics.json is damaged: run 03_detect_covid again."
        ) from error


def _export(
    name: str, model: keras.Model, data_set: DataSet, test: pd.DataFrame
) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Return a network as files, by their names, and how far each is from Keras."""
    exact = in_float32(model)
    contents = {kind: convert(exact, kind) for kind in ENDINGS}
    networks: dict[str, Network] = {"Keras": exact.predict_on_batch}
    if calculates_in_less(model):
        networks["Keras, as trained"] = model.predict_on_batch
    networks |= {kind: open_converted(content, kind) for kind, content in contents.items()}
    images = prepare_images(data_set, test, model.input_shape[1])
    sizes = list(zip(test["height"], test["width"], strict=True))
    table = compare(networks, images, sizes)
    refuse_disagreement(name, table, ENDINGS)
    return {f"{name}.{ENDINGS[kind]}": content for kind, content in contents.items()}, table


def _describe(
    data_set: DataSet, networks: dict[str, keras.Model], table: pd.DataFrame, xrays: int
) -> dict[str, object]:
    """Return what the texts beside the networks tell."""
    environment = describe_environment()
    return {
        "code": environment["code"],
        "hardware": environment["hardware"],
        "data": data_set.label,
        "sizes": {name: model.input_shape[1] for name, model in networks.items()},
        "table": agreement_table(table),
        "xrays": xrays,
        "steps": "\n\n".join(getsource(step) for step in STEPS),
        "THRESHOLD": recipes.THRESHOLD,
        "LUNGS": postprocessing.LUNGS,
        "SPECK_SHARE": postprocessing.SPECK_SHARE,
        "LEAST": calibration.LEAST,
        "DEPTHS": decoding.DEPTHS,
        "BEYOND": decoding.BEYOND,
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Put files in place of an earlier export, when all are written."""
    names = [f"{name}.{ending}" for name in NETWORKS for ending in ENDINGS.values()]
    with refusing(folder, "--run"), partial_folder(folder) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        for name in (*TEXTS, *names):
            (folder / name).unlink(missing_ok=True)
        for name in files:
            (partial / name).replace(folder / name)


def describe_export(table: pd.DataFrame, run_folder: Path) -> str:
    """Return for a terminal what was exported, how it agrees, and where it is."""
    lacking = (
        ""
        if "detector" in set(table["network"])
        else ("This run has no detector: only the segmenter was exported.\n")
    )
    return (
        f"{agreement_table(table).to_string(index=False)}\n{lacking}"
        f"Made in {shown(run_folder / FOLDER)}: *.onnx, *.tflite, {', '.join(TEXTS)} (how to use "
        "them)\n\nNot a medical device."
    )
