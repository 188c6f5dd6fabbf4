"""Export: a run's networks as ONNX and LiteRT files, for programs without Keras."""

from inspect import getsource
from pathlib import Path

import pandas as pd

from helpers.data import decoding
from helpers.data.arrays import prepare_images
from helpers.data.decoding import find_depth, reduce_depth, to_grey
from helpers.data.images import resize_image
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import calibration
from helpers.evaluate.metrics_file import read_metrics
from helpers.predict.agreement import agreement_table, compare, refuse_disagreement
from helpers.predict.conversion import ENDINGS, convert, in_float32, open_converted
from helpers.predict.networks import load_own
from helpers.report.pages import render
from helpers.report.provenance import describe_code, find_source
from helpers.split.splits import read_split
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, partial_folder, refusing
from helpers.storage.folders import shown
from helpers.train import postprocessing, recipes
from helpers.train.backend import keras
from helpers.train.batches import scale
from helpers.train.postprocessing import draw_infection, draw_lungs

FOLDER = "export"  # in the run folder
# The names of a run's networks in the files, by their names in `networks.Networks`.
NETWORKS = {"lungs": "segmenter", "detector": "detector", "infection": "infection"}
TEXTS = {"read_xray.py": "read_xray.txt", "README.md": "export.md"}  # files and their templates
# The functions of read_xray.py, so that it does exactly what the project does: those for every
# network, and those that make a mask of a network's probabilities.
STEPS = (find_depth, reduce_depth, to_grey, resize_image, scale)
MASK_STEPS = {
    "segmenter": (draw_lungs, postprocessing.clean_mask, postprocessing._count_pixels),
    "infection": (draw_infection,),
}
# The numbers that they use, by the names by which they do.
NUMBERS = {
    "THRESHOLD": recipes.THRESHOLD,
    "LUNGS": postprocessing.LUNGS,
    "SPECK_SHARE": postprocessing.SPECK_SHARE,
    "LEAST": calibration.LEAST,
    "DEPTHS": decoding.DEPTHS,
    "BEYOND": decoding.BEYOND,
}


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
    files |= _write_texts(networks, chosen, data_set.label, table, len(test))
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


def _write_texts(
    networks: dict[str, keras.Model],
    chosen: dict[str, float],
    data: str,
    table: pd.DataFrame,
    xrays: int,
) -> dict[str, bytes]:
    """Return the content of TEXTS: how to use the networks, and how they agree with Keras.

    Args:
        networks: those that are exported, by their names in the files.
        chosen: what `_read_chosen` returns, empty without a detector.
        data: the label of the data set.
        table: of all networks, as `export_run` returns it.
        xrays: how many were compared.
    """
    drawn = [name for name in networks if name in MASK_STEPS]
    steps = [*STEPS, *(step for name in drawn for step in MASK_STEPS[name])]
    facts = NUMBERS | {
        "code": describe_code(),
        "data": data,
        "sizes": {name: model.input_shape[1] for name, model in networks.items()},
        "chosen": chosen,
        "table": agreement_table(table),
        "xrays": xrays,
        "drawn": drawn,
        "steps": "\n\n".join(getsource(step) for step in steps),
    }
    return {name: f"{render(template, **facts)}\n".encode() for name, template in TEXTS.items()}


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
