import os
import shutil
from pathlib import Path
from time import time

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.data.archives import LOCKS, UNPACKED, alone
from helpers.data.arrays import hash_file, prepare_images, prepare_masks
from helpers.data.sources import find_data
from helpers.data.synthetic import SYNTHETIC_MARKER
from helpers.run.cache import clear_cache, describe_cache, find_entries
from helpers.split.index import build_index
from helpers.storage.files import LEFT_BEHIND, partial_folder
from helpers.storage.locks import hold_run
from tests.support.builders import make_data_set, refused

HASH, LONG = "0123456789ab", "0123456789abcdef"
OURS = (
    f"data/demo-{HASH}/{SYNTHETIC_MARKER}",
    f"data/my X-rays-{HASH}/{UNPACKED}",
    f"data/my X-rays-{HASH}.partial/COVID/images/a.png",
    f"data/b-{HASH}.copy",
    "data/.partial-abcdefgh/COVID/images/a.png",
    f"audits/{LONG}-{LONG}/pairs.csv",
    "audits/.partial-abcdefgh/pairs.csv",
    f"arrays/pixels-{LONG}-128-{LONG}.npy",
    f"arrays/mask_pixels-{LONG}-64-{LONG}.npy",
    f"arrays/pixels-{LONG}-128.npy",
    f"arrays/pixels-{LONG}-128-{LONG}.npy.sha256",
    "arrays/.partial-abcdefgh/pixels.npy",
)
FOREIGN = (
    "notes.txt",
    f"mine-{HASH}",
    "data/mine/a.png",
    "data/patients-202401151230/a.png",
    "data/demo-202401151230/a.png",
    f"data/{HASH}",
    f"data/mine-{HASH}.zip",
    f"data/mine-{HASH[:-1]}",
    f"audits/{LONG}",
    "audits/mine.csv",
    "arrays/pixels.npy",
    f"arrays/pixels-{LONG}-128.npz",
    f"other/pixels-{LONG}-128.npy",
)


def write(root: Path, name: str, size: int = 1000) -> Path:
    """Write a file of that size, older than what may be alive."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    old = time() - 2 * LEFT_BEHIND
    for part in (path, path.parent, *path.relative_to(root).parents[:-1]):
        os.utime(root / part, (old, old))
    return path


def files(root: Path) -> set[str]:
    """Return all files below a folder."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_cache_that_is_not_there_holds_nothing(cache):
    assert describe_cache().startswith(f"{cache}: 0.0 MB\n")
    assert clear_cache() == (0, {})
    assert not cache.exists()


def test_every_folder_is_named_with_its_number_and_size(cache):
    for name in OURS:
        write(cache, name, 2_000_000)
    write(cache, "data/mine/a.png", 10_000_000)
    first, *rows, last = describe_cache().splitlines()
    assert first == f"{cache}: 24.0 MB"
    assert [row.split() for row in rows] == [
        ["data", "5", "kept", "10.0", "MB"],
        ["audits", "2", "kept", "4.0", "MB"],
        ["arrays", "5", "kept", "10.0", "MB"],
    ]
    assert last.endswith("`covid-lungs cache --clear` removes it.")


def test_all_of_ours_goes_and_all_else_stays(cache):
    for name in (*OURS, *FOREIGN):
        write(cache, name)
    assert clear_cache() == (len(OURS), {})
    assert files(cache) == set(FOREIGN)


def test_what_the_project_itself_puts_there_is_known_goes_and_comes_again(cache, tmp_path):
    made = make_data_set(tmp_path / "made")
    archive = shutil.make_archive(str(tmp_path / "x.rays"), "zip", made.root.parent, "made")

    def fill() -> None:
        data_set = find_data(archive)
        index, _ = build_index(data_set)
        for prepare in (prepare_images, prepare_masks):
            assert hash_file(prepare(data_set, index, 16))

    for _ in range(2):
        fill()
        assert [path.parent.name for path in find_entries()] == ["data", "audits", *["arrays"] * 4]
        clear_cache()
        assert files(cache) == set()


def test_no_link_is_followed(cache, tmp_path):
    elsewhere = [write(tmp_path, f"elsewhere/{name}/a.png") for name in ("a", "b", "c")]
    inside = write(cache, f"data/mine-{HASH}/{UNPACKED}")
    (inside.parent / "link").symlink_to(elsewhere[0].parent)
    (inside.parent / "a.png").symlink_to(elsewhere[0])
    (cache / f"data/linked-{HASH}").symlink_to(elsewhere[1].parent)
    (cache / "audits").symlink_to(elsewhere[2].parent.parent)
    assert [path.name for path in find_entries()] == [f"mine-{HASH}"]
    clear_cache()
    assert all(path.is_file() for path in elsewhere)
    assert not inside.parent.exists()
    assert (cache / f"data/linked-{HASH}").is_symlink()
    assert (cache / "audits").is_symlink()


def test_what_another_process_unpacks_stays(cache):
    for name in (
        f"data/a-{HASH}.partial/x.png",
        f"data/a-{HASH}.copy",
        f"data/b-{HASH}/{UNPACKED}",
    ):
        write(cache, name)
    with alone(cache / f"data/a-{HASH}"):
        removed, stayed = clear_cache()
        assert removed == 1
        assert set(stayed.values()) == {"another process unpacks it"}
        assert {f"data/a-{HASH}.partial/x.png", f"data/a-{HASH}.copy"} <= files(cache)
        assert f"{LOCKS}/a-{HASH}.lock" in files(cache)
    clear_cache()
    assert files(cache) == set()


def test_what_is_being_written_just_now_stays(cache):
    (cache / "arrays").mkdir(parents=True)
    with partial_folder(cache / "arrays") as partial:
        assert clear_cache() == (0, {partial: "it changed within the last hour"})
        assert partial.is_dir()


def test_what_a_run_may_need_stays(cache, runs):
    path = write(cache, f"arrays/pixels-{LONG}-128-{LONG}.npy")
    (runs / "a").mkdir(parents=True)
    (runs / "b").mkdir()
    with hold_run(runs / "a"), refused("runs/a", "a run is under way", "Let it end or stop it"):
        clear_cache()
    assert path.is_file()
    clear_cache()
    assert not path.exists()


def test_what_cannot_be_removed_is_named_and_the_rest_goes(cache, monkeypatch):
    for name in OURS:
        write(cache, name)

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", fail)
    _, stayed = clear_cache()
    assert set(stayed.values()) == {"it cannot be removed (Permission denied)"}
    assert len(stayed) == 7
    monkeypatch.undo()
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(cache))
    assert not (cache / f"data/demo-{HASH}").exists(), "hidden, so that nobody reads half of it"
    assert all(path.name.startswith(".partial-") for path in find_entries())
    clear_cache()
    assert files(cache) == set()


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(folder="data", name=f"a-{HASH}\n")
@example(folder="data", name=f"-{HASH}")
@example(folder="arrays", name=f"pixels-{LONG}-128-{LONG}.npy.old")
@example(folder="audits", name=f"{LONG}-{LONG}0")
@given(
    folder=st.sampled_from(["data", "audits", "arrays"]),
    name=NAMES.filter(lambda name: name.strip(".") and len(name.encode()) < 200),
)
def test_a_name_without_one_of_our_hashes_is_never_removed(cache, folder, name):
    path = write(cache, f"{folder}/{name}")
    clear_cache()
    assert path.is_file()
    path.unlink()
