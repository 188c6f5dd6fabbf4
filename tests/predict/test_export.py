import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from helpers.predict import export
from helpers.predict.conversion import ENDINGS, convert, in_float32, open_converted
from helpers.predict.export import export_run
from helpers.predict.files import find_xrays
from helpers.predict.networks import load_networks
from helpers.predict.prediction import predict_files
from helpers.run.command import main
from helpers.train.models import _standardise, build_detector, build_unet, look_twice
from helpers.train.recipes import RECIPES
from tests.support.builders import make_data_set, make_run, refused, write_image

XRAYS = np.random.default_rng(0).random((3, 32, 32, 1), dtype=np.float32)
FILES = ["README.md", "read_xray.py", "segmenter.onnx", "segmenter.tflite"]
DETECTOR_FILES = ["detector.onnx", "detector.tflite"]
INFECTION_FILES = ["infection.onnx", "infection.tflite"]
PARTS = ("segmentation", "detection", "infection")
CHOSEN = {"threshold": {"value": 0.25}, "temperature": {"value": 2.0}}


def small_network(recipe: str, part: str, policy: str = "float32") -> keras.Model:
    """Return a recipe's network of few filters, whose random weights make unequal answers."""
    filters = {"original": (4, 4, 4), "demo": (4, 4, 4), "best": (4, 8)}[recipe]
    chosen = replace(getattr(RECIPES[recipe], part), image_size=32, filters=filters)
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy(policy)
    try:
        if part == "detection":
            model = build_detector(chosen)
        else:
            model = build_unet(chosen, "infection" if part == "infection" else "lung")
        if part != "detection" and chosen.look_twice:
            model = look_twice(model)
    finally:
        keras.config.set_dtype_policy(before)
    generator = np.random.default_rng(1)
    model.set_weights(
        [
            generator.normal(0, 0.3, weight.shape) if weight.ndim > 1 else weight
            for weight in model.get_weights()
        ]
    )
    return model


@pytest.fixture(scope="module")
def networks():
    """One of each part, for what does not depend on the recipe."""
    return tuple(small_network("best" if part != "detection" else "demo", part) for part in PARTS)


def fill_run(folder: Path, data_set, *networks: keras.Model | None) -> Path:
    """Write what an export needs of a run; None for a part without a network."""
    make_run(folder, data_set)
    for part, network in zip(PARTS, networks, strict=False):
        if network is not None:
            (folder / part).mkdir()
            network.save(folder / part / "model.keras")
    if (folder / "detection").is_dir():
        (folder / "detection/metrics.json").write_text(json.dumps(CHOSEN))
    return folder


def made(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "export").iterdir())


@pytest.mark.parametrize(
    ("recipe", "part", "policy"),
    [
        ("demo", "segmentation", "float32"),
        ("demo", "detection", "float32"),
        ("original", "segmentation", "float32"),
        ("original", "detection", "float32"),
        ("best", "segmentation", "mixed_bfloat16"),
        ("best", "detection", "float32"),
        ("best", "infection", "mixed_bfloat16"),
    ],
)
def test_the_networks_of_every_recipe_predict_the_same_in_every_format(recipe, part, policy):
    model = small_network(recipe, part, policy)
    right = keras.ops.convert_to_numpy(in_float32(model)(XRAYS))
    assert np.ptp(right) > 1e-3
    for kind in ENDINGS:
        network = open_converted(convert(model, kind), kind)
        answers = np.concatenate([network(xray[None]) for xray in XRAYS])
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, right, atol=2e-6, rtol=0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_in_32_bits_has_the_same_weights_and_nearly_the_same_predictions(policy):
    model = small_network("best", "segmentation", policy)
    exact = in_float32(model)
    for one, other in zip(model.get_weights(), exact.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    rough, fine = (keras.ops.convert_to_numpy(network(XRAYS)) for network in (model, exact))
    assert 1e-6 < np.abs(rough - fine).max() < 0.05
    alike = small_network("best", "segmentation")  # in 32 bits from the beginning
    np.testing.assert_allclose(fine, keras.ops.convert_to_numpy(alike(XRAYS)), atol=1e-6)
    exact.set_weights([0 * weight for weight in exact.get_weights()])
    assert any(weight.any() for weight in model.get_weights()), "nothing is shared"


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_xray_of_many_pixels_is_standardised_exactly(kind):
    """Its mean added up number by number, as runtimes do, would be five times as far off."""
    inputs = keras.Input((256, 256, 1))
    model = keras.Model(inputs, _standardise(inputs))
    xray = np.full((1, 256, 256, 1), 90 / 255, np.float32)
    xray[:, 51:205, 51:205] = 220 / 255
    values = xray.astype(np.float64)
    right = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    answer = open_converted(convert(model, kind), kind)(xray)
    assert np.abs(answer - right).max() < 5e-6


def test_a_network_that_cannot_be_converted(networks, monkeypatch):
    monkeypatch.setattr(keras.Model, "export", lambda *_, **__: 1 / 0)
    with refused("ONNX files cannot be made", "division by zero", "uv run --extra export"):
        convert(networks[0], "ONNX")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("ONNX files cannot be made", "import of onnxruntime", "uv run --extra export"):
        open_converted(b"", "ONNX")


@pytest.fixture(scope="module")
def exported(networks, tmp_path_factory):
    """A run whose networks were exported for good."""
    folder = tmp_path_factory.mktemp("exported")
    data_set = make_data_set(folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_CACHE", str(folder / "cache"))
        run = fill_run(folder / "run", data_set, *networks)
        table = export_run(run, str(data_set.root))
    return run, table


def test_all_networks_in_both_formats_and_how_to_use_them(exported):
    run, table = exported
    assert made(run) == sorted(FILES + DETECTOR_FILES + INFECTION_FILES)
    names = ["segmenter", "detector", "infection"]
    assert list(table["network"]) == [name for name in names for _ in range(3)]
    assert list(table["format"]) == ["Keras, as trained", "ONNX", "LiteRT"] * 3
    assert table["difference"].max() < 1e-5
    masks = table[table["network"] != "detector"]
    assert (masks["equal_pixels"] == 1).all()


def test_the_document_tells_what_the_files_take_and_give_and_how_they_agree(exported):
    run, _ = exported
    text = (run / "export/README.md").read_text(encoding="utf-8")
    for part in (
        "Not a medical device",
        "Trained on X-rays: tiny",
        "| `segmenter.onnx` | `xray`, float32 (N, 32, 32, 1), 0..1 | float32 (N, 32, 32, 1), 0..1",
        "float32 (N, 1), 0..1: the probability of COVID |",
        "validation split: 0.25.",
        "T = 2.0 fitted",
        "| segmenter | Keras, as trained | 0.0e+00 | 100.0000 % |",
        "| detector | LiteRT |",
        "| `infection.onnx` | `xray`, float32 (N, 32, 32, 1), 0..1 | float32 (N, 32, 32, 1), 0..1",
        "the probability of infection, for each pixel |",
        "Do not clean the mask",
        "| infection | ONNX |",
    ):
        assert part in text
    assert str(run) not in text


@pytest.mark.parametrize("ending", ENDINGS.values())
def test_the_script_alone_reads_an_xray_as_predict_does(ending, exported, tmp_path):
    run, _ = exported
    generator = np.random.default_rng(4)
    colours = generator.integers(0, 4096, (9, 8, 3)).astype(np.uint16)  # 12 bits of 16
    file = write_image(tmp_path / "x.png", cv2.resize(colours, (70, 90)))
    made_here = [tmp_path / name for name in ("mask.png", "infection.png")]
    done = subprocess.run(
        [sys.executable, "-I", run / "export/read_xray.py", ending, file, *made_here],
        capture_output=True,
        check=True,
        text=True,
    )
    table = predict_files(load_networks(run), find_xrays([file]), tmp_path / "out")
    for one, name in zip(made_here, ("masks", "infection"), strict=True):
        drawn = cv2.imread(str(tmp_path / "out" / name / "x.png"), -1)
        assert 0 < (drawn > 0).mean() < 1
        np.testing.assert_array_equal(cv2.imread(str(one), -1), drawn)
    lung, infection, covid = done.stdout.splitlines()
    assert lung == f"lung: {table['lung_fraction'][0]:.6f} of the X-ray"
    assert infection == f"infection: {table['infected_share'][0]:.6f} of the lungs"
    probability = table["covid_probability"][0]
    assert float(covid.split()[1].rstrip(",")) == pytest.approx(probability, abs=2e-6)
    assert ("not above" in covid) == (probability <= 0.25)
    odds = np.sqrt(probability / (1 - probability))  # at the temperature 2
    assert float(covid.split()[-1]) == pytest.approx(odds / (1 + odds), abs=2e-5)


@pytest.fixture
def unconverted(monkeypatch):
    """Let Keras itself stand for the files, which take time to make."""
    kept = {}

    def keep(model, kind):
        kept[name := f"{model.name} {kind}".encode()] = in_float32(model)
        return name

    monkeypatch.setattr(export, "convert", keep)
    monkeypatch.setattr(export, "open_converted", lambda name, _: kept[name].predict_on_batch)


@pytest.mark.usefixtures("unconverted", "cache")
def test_without_a_detector_the_segmenter_alone_is_exported(networks, data_set, tmp_path):
    run = fill_run(tmp_path / "run", data_set, networks[0])
    (run / "export").mkdir()
    for name in (*DETECTOR_FILES, *INFECTION_FILES, "mine.txt"):
        (run / "export" / name).write_text("earlier")
    export_run(run, str(data_set.root))
    assert made(run) == sorted([*FILES, "mine.txt"])
    assert "no detector" in (run / "export/README.md").read_text(encoding="utf-8")
    script = (run / "export/read_xray.py").read_text(encoding="utf-8")
    assert 'SIZES = {"segmenter": 32}' in script
    assert "COVID" not in script.partition("def to_grey")[0]


@pytest.mark.usefixtures("unconverted", "cache")
@pytest.mark.parametrize("part", ["detection", "infection"])
def test_without_a_segmenter_a_run_exports_what_it_has(part, networks, data_set, tmp_path):
    own = [network if name == part else None for name, network in zip(PARTS, networks, strict=True)]
    run = fill_run(tmp_path / "run", data_set, *own)
    export_run(run, str(data_set.root))
    files = {"detection": DETECTOR_FILES, "infection": INFECTION_FILES}[part]
    assert made(run) == sorted(["README.md", "read_xray.py", *files])
    text = (run / "export/README.md").read_text(encoding="utf-8")
    assert "no network for the lungs" in text and "Clean the mask" not in text
    assert "\n\n\n" not in text
    assert ("mask of the infection" in text) == (part == "infection")
    script = (run / "export/read_xray.py").read_text(encoding="utf-8")
    compile(script, "read_xray.py", "exec")
    assert "clean_mask" not in script and "segmenter" not in script
    usage = {"detection": "onnx XRAY.png\n", "infection": "onnx XRAY.png INFECTION.png\n"}
    assert usage[part] in script


@pytest.mark.usefixtures("unconverted", "cache")
def test_a_network_trained_in_16_bits_differs_as_trained_and_is_exported(data_set, tmp_path):
    model = small_network("best", "segmentation", "mixed_bfloat16")
    table = export_run(fill_run(tmp_path / "run", data_set, model), str(data_set.root))
    assert list(table["difference"] > 0) == [True, False, False]


@pytest.mark.usefixtures("unconverted", "cache")
def test_a_disagreement_leaves_what_was_there(networks, data_set, tmp_path, monkeypatch):
    run = fill_run(tmp_path / "run", data_set, *networks)
    export_run(run, str(data_set.root))
    before = {path: path.read_bytes() for path in (run / "export").iterdir()}
    opened = export.open_converted

    def spoil(name, kind):
        spoilt = kind == "LiteRT" and name.startswith(b"detector")
        return lambda xray: opened(name, kind)(xray) + np.float32(spoilt * 2e-4)

    monkeypatch.setattr(export, "open_converted", spoil)
    with refused("detector: as LiteRT", "nothing was written", "report this"):
        export_run(run, str(data_set.root))
    assert {path: path.read_bytes() for path in (run / "export").iterdir()} == before


@pytest.mark.usefixtures("unconverted", "cache")
def test_a_full_disk_leaves_what_was_there(networks, data_set, tmp_path, monkeypatch):
    run = fill_run(tmp_path / "run", data_set, *networks)
    (run / "export").mkdir()
    (run / "export/segmenter.onnx").write_text("earlier")
    write = Path.write_bytes

    def fill(path, content):
        if path.name == "README.md":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr("pathlib.Path.write_bytes", fill)
    with refused("run/export", "No space left on device", "Make room"):
        export_run(run, str(data_set.root))
    assert made(run) == ["segmenter.onnx"]
    assert (run / "export/segmenter.onnx").read_text() == "earlier"


@pytest.mark.usefixtures("unconverted", "cache")
@pytest.mark.parametrize("content", ["{", "{}", '{"threshold": {"value": null}}'])
def test_damaged_metrics_of_the_detector(content, networks, data_set, tmp_path):
    run = fill_run(tmp_path / "run", data_set, *networks)
    (run / "detection/metrics.json").write_text(content)
    with refused("run/detection/metrics.json", "damaged", "run 03_detect_covid again"):
        export_run(run, str(data_set.root))
    assert not (run / "export").exists()


@pytest.mark.usefixtures("unconverted", "cache")
def test_other_xrays_than_the_run_s_are_refused(networks, data_set, tmp_path):
    run = fill_run(tmp_path / "run", data_set, networks[0])
    other = make_data_set(tmp_path / "other", {"COVID": 3, "Normal": 3})
    with refused("index.csv", "other does not have", "give the `data` of this run"):
        export_run(run, str(other.root))


@pytest.mark.usefixtures("unconverted", "cache")
def test_the_command(networks, data_set, runs, capsys):
    fill_run(runs / "a", data_set, *networks)
    assert main(["export", "--run", "a", "--data", str(data_set.root)]) == 0
    said = capsys.readouterr().out
    assert f"Made in {runs}/a/export: *.onnx, *.tflite, read_xray.py, README.md" in said
    assert said.endswith("Not a medical device.\n")
    assert len([line for line in said.splitlines() if line.startswith("segmenter")]) == 3


@pytest.mark.usefixtures("unconverted", "cache")
def test_a_run_whose_xrays_are_unknown_gives_one_line_and_status_1(
    networks, data_set, runs, capsys
):
    fill_run(runs / "a", data_set, networks[0])
    assert main(["export", "--run", "a"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "its files do not say where its X-rays are" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (runs / "a/export").exists()
