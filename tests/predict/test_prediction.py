import tracemalloc
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from helpers.data.images import read_mask, read_xray, resize_image
from helpers.predict import batch, team
from helpers.predict.batch import BATCH
from helpers.predict.doubt import REFUSAL, UNLIKE
from helpers.predict.files import find_xrays
from helpers.predict.networks import Networks, load_networks
from helpers.predict.novelty import learn_likeness, write_likeness
from helpers.predict.prediction import predict_files
from helpers.predict.table import COLUMNS
from helpers.run.command import main
from helpers.storage.folders import find_trained
from helpers.train.inference import predict
from helpers.train.models import build_detector, build_unet
from helpers.train.recipes import DetectionSettings, SegmentationSettings
from tests.support.builders import refused, write_image

SETTINGS = SegmentationSettings(32, filters=(2,), epochs=1, batch_size=4, learning_rate=1e-2)
BRIGHT, DARK = 200, 40


def chest(number: int) -> np.ndarray:
    """Return an X-ray whose lungs are its two bright boxes; size and share go by the number."""
    height, width = 64 + number % 7, 66 + number % 5
    image = np.full((height, width), DARK, np.uint8)
    bottom = 20 + number % 35
    image[8:bottom, 8:24] = image[8:bottom, 36:52] = BRIGHT
    return image


@pytest.fixture(scope="module")
def seer():
    """A segmenter that takes grey values for probabilities: bright is lung."""
    return keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(3)
    return build_detector(DetectionSettings(24, (2, 2, 2), 1, 4, 1e-2))


@pytest.fixture
def xrays(tmp_path):
    """More X-rays than two batches, of several sizes."""
    for number in range(2 * BATCH + 5):
        write_image(tmp_path / "in" / f"x{number:02}.png", chest(number))
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def boxes_are_chests(monkeypatch):
    """Take the boxes that are drawn here for chests."""
    monkeypatch.setattr("helpers.predict.doubt._are_chests", lambda xrays: [True] * len(xrays))


def run_of(folder, *networks):
    for part, network in zip(("segmentation", "detection"), networks, strict=False):
        (folder / part).mkdir(parents=True)
        network.save(folder / part / "model.keras")
    return folder


def test_every_mask_is_that_of_its_own_xray_at_its_own_size(seer, xrays, tmp_path):
    table = predict_files(Networks(seer), find_xrays([xrays]), tmp_path / "out")
    assert list(table["file"]) == sorted(path.as_posix() for path in xrays.iterdir())
    for number, row in enumerate(table.itertuples()):
        stored = cv2.imread(str(tmp_path / f"out/masks/x{number:02}.png"), cv2.IMREAD_UNCHANGED)
        true = chest(number) == BRIGHT
        assert stored.shape == true.shape
        assert set(np.unique(stored)) == {0, 255}
        assert ((stored > 0) & true).sum() / ((stored > 0) | true).sum() > 0.8
        assert row.lung_fraction == round((stored > 0).mean(), 6)


def test_overlays_show_the_outline_in_orange(seer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(20))
    predict_files(Networks(seer), find_xrays([file]), tmp_path / "out")
    blue, green, red = cv2.split(cv2.imread(str(tmp_path / "out/overlays/a.jpg")).astype(int))
    edge = (12, 8)
    assert red[edge] > green[edge] + 40 > blue[edge] + 80
    assert abs(red[20, 15] - BRIGHT) < 40, "the X-ray shows inside"
    assert red.shape == chest(20).shape


def test_the_table_on_disk(seer, detector, xrays, tmp_path):
    files = find_xrays([xrays])
    table = predict_files(Networks(seer, detector), files, tmp_path / "out")
    unknown = {name: [""] for name in COLUMNS[5:]}
    stored = pd.read_csv(tmp_path / "out/predictions.csv", keep_default_na=False, na_values=unknown)
    assert list(stored.columns) == COLUMNS
    pd.testing.assert_frame_equal(stored, table)
    for file, said in zip(files, table["covid_probability"], strict=True):
        alone = predict(detector, resize_image(read_xray(file.path), (24, 24))[None])
        assert said == pytest.approx(alone.item(), abs=2e-6)
    assert table["covid_probability"].nunique() > 5


def test_the_table_keeps_the_rows_of_masks_that_stay(seer, xrays, tmp_path):
    first, second = sorted(xrays.iterdir())[:2]
    out = tmp_path / "out"
    predict_files(Networks(seer), find_xrays([first]), out)
    row = (out / "predictions.csv").read_text().splitlines()[1]
    predict_files(Networks(seer), find_xrays([second]), out)
    predict_files(Networks(seer), find_xrays([second]), out)
    header, *rows = (out / "predictions.csv").read_text().splitlines()
    assert header == ",".join(COLUMNS)
    assert rows[0] == row and rows[1].startswith(f"{second.as_posix()},") and len(rows) == 2
    assert sorted(path.stem for path in (out / "masks").iterdir()) == [first.stem, second.stem]
    (out / "predictions.csv").write_bytes(b"\xff\xfe of another program")
    predict_files(Networks(seer), find_xrays([first]), out)
    assert (out / "predictions.csv").read_text().splitlines()[1:] == [row]


def test_a_table_that_cannot_be_read_is_named(seer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(20))
    (tmp_path / "out/predictions.csv").mkdir(parents=True)
    with refused("out/predictions.csv", "Is a directory", "--out"):
        predict_files(Networks(seer), find_xrays([file]), tmp_path / "out")


def test_the_probability_is_empty_without_a_detector(seer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(20))
    predict_files(Networks(seer), find_xrays([file]), tmp_path)
    row = (tmp_path / "predictions.csv").read_text().splitlines()[1]
    share = (read_mask(tmp_path / "masks/a.png")).mean().round(6)
    assert row == f"{file.as_posix()},,{share},True,,,,,,,,,"


def test_what_can_hardly_be_lungs_is_not_accepted_but_drawn(seer, tmp_path):
    one_box = chest(20)
    one_box[:, 30:] = DARK
    wide = np.zeros((1, 65501))  # too wide for an overlay
    images = {
        "full": np.full((80, 80), 250),
        "none": np.zeros((80, 80)),
        "one": one_box,
        "wide": wide,
    }
    files = [
        write_image(tmp_path / f"{n}.png", image.astype(np.uint8)) for n, image in images.items()
    ]
    files.append(write_image(tmp_path / "ok.png", chest(25)))
    table = predict_files(Networks(seer), find_xrays(files), tmp_path)
    assert list(table["reason"]) == [
        "larger than 65% of the X-ray",
        "no lung was found",
        "not two regions",
        "less than 64 pixels a side",
        "",
    ]
    assert list(table["accepted"]) == [False] * 4 + [True]
    assert len(list((tmp_path / "masks").iterdir())) == 5


def test_there_is_a_warning_of_what_is_unlike_the_training(seer, tmp_path):
    known = learn_likeness(
        np.stack([resize_image(chest(number), (32, 32)) for number in range(40)]),
        pd.Series(range(40)),
    )
    pictures = {"chest": chest(20), "turned": np.rot90(chest(20)), "small": chest(20)[:60]}
    files = [write_image(tmp_path / f"{name}.png", image) for name, image in pictures.items()]
    table = predict_files(Networks(seer), find_xrays(files), tmp_path, known)
    assert list(table["reason"]) == ["", UNLIKE, "less than 64 pixels a side"]
    assert list(table["accepted"]) == [True, True, False]
    assert table["lung_fraction"].notna().all()
    assert table["expected_dice"].isna().all(), "known of the package's network only"


def test_what_is_no_chest_is_not_accepted_but_drawn(seer, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "helpers.predict.doubt._are_chests", lambda xrays: [xray[0, 0] > 100 for xray in xrays]
    )
    files = [write_image(tmp_path / f"{n}.png", chest(20)) for n in "ab"]
    light = chest(20)
    light[:2, :2] = 200
    files[0] = write_image(tmp_path / "a.png", light)
    table = predict_files(Networks(seer), find_xrays(files), tmp_path)
    assert list(table["reason"]) == ["", REFUSAL]
    assert list(table["accepted"]) == [True, False]
    assert len(list((tmp_path / "masks").iterdir())) == 2


def test_a_file_that_cannot_be_decoded_is_named_and_the_others_go_on(
    seer, detector, xrays, tmp_path, capsys
):
    bad = xrays / "x03.png"
    predict_files(Networks(seer), find_xrays([bad]), tmp_path / "out")
    bad.write_bytes(b"")
    table = predict_files(Networks(seer, detector), find_xrays([xrays]), tmp_path / "out")
    assert capsys.readouterr().err == (
        f"covid-lungs: {bad.as_posix()}: the file is empty. Restore it from the archive, "
        "or leave it out.\n"
    )
    row = table.iloc[3]
    assert (row["accepted"], row["reason"]) == (False, "the file is empty")
    assert row[["covid_probability", "lung_fraction"]].isna().all()
    stems = {path.stem for path in xrays.iterdir()} - {"x03"}
    for part in ("masks", "overlays"):
        assert {path.stem for path in (tmp_path / "out" / part).iterdir()} == stems
    assert table.drop(index=3)["lung_fraction"].notna().all()


def test_only_a_few_batches_are_in_memory(seer, tmp_path, monkeypatch):
    file = write_image(tmp_path / "a.png", chest(0))
    files = [tmp_path / f"{number}.png" for number in range(12 * BATCH)]
    for copy in files:
        copy.write_bytes(file.read_bytes())
    read, write, held, most = batch._read, batch._write, [0], [0]

    def count_read(*arguments):
        held[0] += 1
        most[0] = max(held[0], most[0])
        return read(*arguments)

    def count_write(*arguments):
        held[0] -= 1
        return write(*arguments)

    monkeypatch.setattr(batch, "_read", count_read)
    monkeypatch.setattr(batch, "_write", count_write)
    predict_files(Networks(seer), find_xrays(files), tmp_path / "out")
    assert BATCH < most[0] <= team.THREADS * BATCH


def test_files_that_cannot_be_decoded_are_not_kept_in_memory(seer, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024), np.uint8)
    content = cv2.imencode(".png", noise)[1].tobytes()[:-1000]
    files = [tmp_path / f"{number}.png" for number in range(BATCH)]
    for file in files:
        file.write_bytes(content)
    tracemalloc.start()
    predict_files(Networks(seer), find_xrays(files), tmp_path / "out")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < BATCH / 2 * len(content)


def test_a_full_disk_leaves_whole_files_only(seer, tmp_path, monkeypatch):
    file = write_image(tmp_path / "a.png", chest(0))
    predict_files(Networks(seer), find_xrays([file]), tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    write_image(file, chest(9))

    def fill(path, content):
        with path.open("wb") as opened:
            opened.write(bytes(content)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fill)
    with refused("out/masks/a.png", "cannot be written (No space left on device)", "Make room"):
        predict_files(Networks(seer), find_xrays([file]), tmp_path / "out")
    after = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert after == before
    assert not list((tmp_path / "out").glob(".*"))


def test_an_output_folder_that_cannot_be_made(seer, tmp_path):
    file = write_image(tmp_path / "a.png", chest(0))
    with refused("a.png", "cannot be written", "another folder with --out"):
        predict_files(Networks(seer), find_xrays([file]), file)


def test_xrays_are_never_overwritten(seer, tmp_path):
    file = write_image(tmp_path / "masks" / "a.png", chest(0))
    before = file.read_bytes()
    with refused("masks/a.png", "predictions are written into its folder", "--out"):
        predict_files(Networks(seer), find_xrays([file]), tmp_path)
    assert file.read_bytes() == before


def test_folders_give_their_images_sorted_without_hidden_ones(tmp_path):
    names = ["b/2.PNG", "b/1.jpg", "a.tif", ".hidden.png", ".cache/3.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_xrays([tmp_path / "b/2.PNG", tmp_path])
    assert found == [
        (f"{tmp_path}/b/2.PNG", "2"),
        (f"{tmp_path}/a.tif", "a"),
        (f"{tmp_path}/b/1.jpg", "b/1"),
    ]


def test_a_link_of_another_name_is_an_xray_of_its_own(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert len(find_xrays([str(tmp_path), str(tmp_path / "a.png")])) == 2


def test_a_file_found_by_several_paths_counts_once(tmp_path, monkeypatch):
    file = tmp_path / "b" / "a.png"
    file.parent.mkdir()
    file.touch()
    (tmp_path / "link").symlink_to(file.parent)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    again = [str(file), "b/../b/a.png", "link", "."]
    assert find_xrays(["b/a.png", *again]) == [("b/a.png", "a")]


@pytest.mark.parametrize("names", [("b/a.jpg", "b/a.png"), ("B/a.png", "b/A.png")])
def test_two_xrays_of_one_place_are_refused(names, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with refused(f"{tmp_path}/{names[0]} and {tmp_path}/{names[1]}", "/", "Rename one"):
        find_xrays([tmp_path])
    with refused(names[0], "the masks of both would be", "into two folders with --out"):
        find_xrays([tmp_path / name for name in names])


def draw_export(folder: Path) -> list[Path]:
    """Write three X-rays of one name, and one of its own, into a folder and its sub-folders."""
    names = ["a/IM.png", "b/IM.png", "b/deep.er/IM.png", "x.png"]
    return [write_image(folder / name, chest(number)) for number, name in enumerate(names)]


def list_files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_sub_folders_of_the_source_are_kept(seer, tmp_path):
    out = tmp_path / "out"
    export = draw_export(tmp_path / "export")
    files = find_xrays([tmp_path / "export/../export"])
    table = predict_files(Networks(seer), files, out)
    assert table["lung_fraction"].nunique() == 4
    places = ["a/IM", "b/IM", "b/deep.er/IM", "x"]
    assert [file.place for file in files] == places
    for place, share in zip(places, table["lung_fraction"], strict=True):
        assert read_mask(out / f"masks/{place}.png").mean().round(6) == share
    made = {f"masks/{place}.png" for place in places} | {f"overlays/{n}.jpg" for n in places}
    assert list_files(out) == made | {"predictions.csv"}
    predict_files(Networks(seer), find_xrays([export[2]]), tmp_path / "flat")
    assert list_files(tmp_path / "flat" / "masks") == {"IM.png"}


def test_rows_go_by_the_place_of_their_masks(seer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_export(Path("export"))
    draw_export(Path("other"))

    def predict_into_out(*paths: str) -> list[str]:
        predict_files(Networks(seer), find_xrays(paths), Path("out"))
        return [row.partition(",")[0] for row in Path("out/predictions.csv").open()][1:]

    rows = predict_into_out("export")
    assert rows == ["export/a/IM.png", "export/b/IM.png", "export/b/deep.er/IM.png", "export/x.png"]
    rows.append("other/a/IM.png")
    assert predict_into_out("other/a/IM.png") == rows, "its mask is beside those in folders"
    rows = [*rows[:-1], "other/b/IM.png"]
    assert predict_into_out("other/b/IM.png") == rows, "the flat mask was replaced"
    rows = [*rows[:1], *rows[2:4], "export/b/IM.png"]
    assert predict_into_out("export/b/IM.png") == rows, "no X-ray has two rows"
    again = ["other/a/IM.png", "other/b/IM.png", "other/b/deep.er/IM.png", "other/x.png"]
    rows = predict_into_out("other")
    assert rows[-4:] == again
    assert "export/a/IM.png" not in rows, "masks in folders were replaced"


def test_masks_of_earlier_predictions_are_no_xrays(seer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [path.relative_to(tmp_path).as_posix() for path in draw_export(tmp_path)]
    for out in ("b/out", "b/out", "."):
        found = find_xrays(["."])
        assert [file.path for file in found] == files
        predict_files(Networks(seer), found, Path(out))
    kept = Path("predictions.csv").rename("kept.csv")
    with refused("masks/a/IM.png", "predictions are written into its folder", "--out"):
        predict_files(Networks(seer), find_xrays(["."]), Path())
    kept.rename("predictions.csv")
    assert find_xrays(["masks/b"])[0] == ("masks/b/IM.png", "IM"), "asked for by name"


def test_a_link_to_a_mask_is_not_overwritten(seer, tmp_path):
    mask = write_image(tmp_path / "out/masks/deep/a.png", chest(0))
    before = mask.read_bytes()
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/a.png").symlink_to(mask)
    with refused("in/deep/a.png", "written into its folder, masks", "--out"):
        predict_files(Networks(seer), find_xrays([tmp_path / "in"]), tmp_path / "out")
    assert mask.read_bytes() == before


@pytest.mark.parametrize("link", ["masks", "masks/b", "overlays/b", "unfinished.jsonl"])
def test_nothing_is_written_through_a_link_in_the_output_folder(link, seer, tmp_path):
    draw_export(tmp_path / "export")
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "out" / link).parent.mkdir(parents=True)
    if link == "unfinished.jsonl":
        precious = precious / "file"
        precious.write_text("{}")
    (tmp_path / "out" / link).symlink_to(precious)
    files = find_xrays([tmp_path / "export"])
    if precious.is_file():
        predict_files(Networks(seer), files, tmp_path / "out")
        assert precious.read_text() == "{}"
    else:
        with refused(f"out/{link}", "is reached by a link", "another folder with --out"):
            predict_files(Networks(seer), files, tmp_path / "out")
        assert not list(precious.iterdir())


def test_links_in_the_source_are_folders_in_the_output(seer, tmp_path):
    draw_export(tmp_path / "store")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "store" / "b")
    predict_files(Networks(seer), find_xrays([tmp_path / "in"]), tmp_path / "out")
    assert list_files(tmp_path / "out/masks") == {"link/IM.png", "link/deep.er/IM.png"}
    assert not list((tmp_path / "store").rglob("masks"))


def test_names_and_paths_that_are_refused(tmp_path):
    with refused("no/such", "No such file", "Give X-rays"):
        find_xrays(["no/such"])
    with refused(str(tmp_path), "no X-ray is in this folder", ".png"):
        find_xrays([str(tmp_path)])
    (tmp_path / "line\nbreak.png").touch()
    with refused("line\\nbreak.png", "a table cannot hold", "Rename it"):
        find_xrays([str(tmp_path)])


def test_a_misspelt_run_is_refused_with_those_there_and_makes_nothing(seer, runs):
    with refused("'demoo'", "no such run", "Begin with `covid-lungs run`"):
        find_trained("demoo")
    assert not runs.exists()
    run_of(runs / "demo", seer)
    (runs / "untrained").mkdir()
    with refused("'demoo'", "no such run", "Choose from demo, or"):
        find_trained("demoo")
    writers = "run 03_detect_covid, 04_segment_lungs or 08_segment_infection first"
    with refused("untrained: no network yet", writers, "with the same `data`"):
        find_trained("untrained")
    assert {path.name for path in runs.iterdir()} == {"demo", "untrained"}
    assert find_trained("demo") == find_trained(f"{runs}/demo/") == runs / "demo"


def test_a_file_that_is_no_network(seer, tmp_path):
    folder = run_of(tmp_path / "run", seer)
    model = folder / "segmentation/model.keras"
    model.write_bytes(model.read_bytes()[:500])
    with refused(
        "run/segmentation/model.keras",
        "cannot be read as a network (it is damaged",
        "Train it again",
    ):
        load_networks(folder)


def test_the_command_draws_into_the_run_s_folder(runs, detector, xrays, capsys):
    run_of(runs / "a", build_unet(SETTINGS), detector)
    assert main(["predict", "--run", "a", str(xrays)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("masks: 37 (not accepted: ")
    assert "files that could not be decoded: 0\n" in said.out
    assert f"Made in {runs}/a/predictions: masks/*.png" in said.out
    assert "train" not in said.out, "there is a detector"
    assert said.out.endswith("Not a medical device.\n")
    assert said.err == ""
    made = {path.name for path in (runs / "a/predictions").iterdir()}
    assert made == {"masks", "overlays", "predictions.csv"}
    table = pd.read_csv(runs / "a/predictions/predictions.csv")
    assert table["covid_probability"].between(0, 1).all()


def test_few_xrays_are_told_of_one_by_one(runs, detector, xrays, capsys):
    run_of(runs / "a", build_unet(SETTINGS), detector)
    files = [str(path) for path in sorted(xrays.iterdir())[:2]]
    assert main(["predict", "--run", "a", *files]) == 0
    lines = capsys.readouterr().out.splitlines()[:2]
    table = pd.read_csv(runs / "a/predictions/predictions.csv", keep_default_na=False)
    for line, row in zip(lines, table.to_dict("records"), strict=True):
        start = f"{row['file']}: COVID probability {row['covid_probability']:.3f}, lungs "
        assert line.startswith(f"{start}{row['lung_fraction']:.1%} of the image")
        assert line.endswith("of the image" if row["accepted"] else row["reason"])


def test_the_command_counts_what_it_refuses_and_what_it_doubts(runs, seer, xrays, capsys):
    folder = run_of(runs / "a", seer)
    main(["predict", "--run", "a", str(xrays)])
    assert "masks: 37 (not accepted: 0, doubtful: 0)\n" in capsys.readouterr().out
    turned = [resize_image(np.rot90(chest(number)), (32, 32)) for number in range(20)]
    write_likeness(folder / "segmentation", learn_likeness(np.stack(turned), pd.Series(range(20))))
    main(["predict", "--run", "a", str(xrays)])
    assert "masks: 37 (not accepted: 0, doubtful: 37)\n" in capsys.readouterr().out
    main(["predict", "--run", "a", str(xrays / "x05.png")])
    assert f"of the image; doubtful: {UNLIKE}\n" in capsys.readouterr().out


def test_the_command_returns_1_if_a_file_was_refused(runs, seer, xrays, tmp_path, capsys):
    run_of(runs / "a", seer)
    (xrays / "x05.png").write_text("no image")
    out, files = tmp_path / "out", [str(xrays / name) for name in ("x05.png", "x06.png")]
    assert main(["predict", "--run", "a", "--out", str(out), *files]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{files[1]}: lungs "), "without a detector no probability"
    assert "files that could not be decoded: 1\n" in said.out
    assert len(said.err.splitlines()) == 1
    assert len(list((out / "masks").iterdir())) == 1
    assert not (runs / "a/predictions").exists()


@pytest.mark.parametrize(
    ("run", "path", "fault"),
    [("b", "in", "run 'b': no such run"), ("a", "nowhere", "'nowhere': cannot be read")],
)
def test_bad_arguments_give_one_line_and_nothing_is_written(
    run, path, fault, runs, seer, xrays, monkeypatch, capsys
):
    run_of(runs / "a", seer)
    monkeypatch.chdir(xrays.parent)
    assert main(["predict", "--run", run, path]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"covid-lungs: {fault}")
    assert len(said.err.splitlines()) == 1
    assert not (runs / "a/predictions").exists()


def test_a_folder_where_a_mask_would_be_is_refused(tmp_path):
    (tmp_path / "in/a.png").mkdir(parents=True)
    for name in ("in/a.jpg", "in/a.png/x.png"):
        write_image(tmp_path / name, chest(20))
    with refused("in/a.jpg", "a.png would be both a folder and a mask", "--out"):
        find_xrays([tmp_path / "in"])


@pytest.mark.parametrize("count", [5, 6])
def test_rows_of_earlier_versions_with_fewer_columns_are_kept(count, seer, tmp_path):
    out = tmp_path / "out"
    predict_files(Networks(seer), find_xrays([write_image(tmp_path / "a.png", chest(20))]), out)
    table = pd.read_csv(out / "predictions.csv", dtype=str, keep_default_na=False)
    table[COLUMNS[:count]].to_csv(out / "predictions.csv", index=False)
    predict_files(Networks(seer), find_xrays([write_image(tmp_path / "b.png", chest(21))]), out)
    again = pd.read_csv(out / "predictions.csv", dtype=str, keep_default_na=False)
    assert list(again.columns) == COLUMNS
    assert [row.rsplit("/", 1)[1] for row in again["file"]] == ["a.png", "b.png"]
