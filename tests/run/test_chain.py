import ast
import shutil
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.run import chain, up_to_date
from helpers.run.chain import Request, check_parameters, run_chain
from helpers.run.notebooks import Parameter, find_notebooks, read_code
from helpers.storage import versions
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import project_root
from tests.support.builders import make_data_set, make_run, refused, write_notebook

pytestmark = pytest.mark.usefixtures("runs")
TAKES_THE_GPU = ("tensorflow", "keras", "jax")
TRAINING = ("training.json", "unfinished/state.npz")  # what tells of a training
SHARED = 'data: str = "demo"\nrun: str = None\nrecipe: str = "demo"\nseed: int = 7\n'
OWN = "epochs: int = None\nrate: float = 0.5\nquick: bool = False\ntitle: str = None\n"
# A notebook that leaves what it was given, in the folder that it was given.
NOTE = "from pathlib import Path\n(Path(run) / '{}.txt').write_text(repr((data, recipe, seed)))"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """The notebooks of a project of our own: 01, 03 and 04, and 00 and 07 outside the chain."""
    folder = tmp_path / "notebooks"
    for name in ("00_before", "01_first", "03_detect", "04_last", "07_after"):
        parameters = SHARED + OWN if name == "03_detect" else SHARED
        write_notebook(folder / f"{name}.ipynb", parameters, NOTE.format(name[:2]))
    monkeypatch.setattr("helpers.run.notebooks._folder", lambda: folder)
    monkeypatch.setattr(
        "helpers.run.chain._report", lambda folder: None
    )  # there is nothing to report
    return folder


def run(**changes):
    """Run the chain with everything as the command's defaults say, but for the changes."""
    return run_chain(Request(**{"run": "a", **changes}))


def numbers(only: list[str], start: str | None = None) -> list[str]:
    return [path.name[:2] for path in find_notebooks(only, start)]


@pytest.mark.parametrize(
    ("only", "start", "expected"),
    [
        ([], None, ["01", "03", "04"]),
        (["04"], None, ["04"]),
        (["04", "01"], None, ["01", "04"]),
        ([], "03", ["03", "04"]),
        (["01", "04"], "03", ["04"]),
    ],
)
def test_the_notebooks_in_order(notebooks, only, start, expected):
    assert numbers(only, start) == expected


@pytest.mark.parametrize("number", ["02", "00", "07", "3", "x", ""])
def test_a_number_that_no_notebook_has_is_refused(notebooks, number):
    with refused(f"notebook {number!r}", "choose one of", "01, 03, 04"):
        find_notebooks([number], None)
    if number:
        with refused(f"notebook {number!r}", "choose one of", "01, 03, 04"):
            find_notebooks([], number)


def test_an_installed_package_has_the_notebooks_itself(tmp_path, monkeypatch):
    write_notebook(tmp_path / "series" / "01_first.ipynb", SHARED)
    monkeypatch.setattr("helpers.run.notebooks.INSTALLED", tmp_path / "series")
    assert find_notebooks([], None) == [tmp_path / "series" / "01_first.ipynb"]


def test_values_get_the_type_of_their_parameter(notebooks):
    given = {"epochs": "3", "rate": "1e-4", "quick": "True", "title": "12", "seed": "0"}
    assert check_parameters(find_notebooks([], None), given) == {
        "epochs": 3,
        "rate": 1e-4,
        "quick": True,
        "title": "12",
        "seed": 0,
    }


WRONG = [("epochs", text) for text in ("many", "2.5", "True", "[1]", "{[]: 1}", "")]
WRONG += [("rate", "fast"), ("rate", "None"), ("quick", "1"), ("seed", "None")]


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_a_value_of_another_type_is_refused(notebooks, name, text):
    kind = {"epochs": "int", "rate": "float", "quick": "bool", "seed": "int"}[name]
    with refused(f"parameter {name}", repr(text), f"give a value of type {kind}"):
        check_parameters(find_notebooks([], None), {name: text})


@pytest.mark.parametrize("text", ["-1", "2147483648"])
def test_a_seed_that_no_generator_takes_is_refused(notebooks, text):
    with refused("parameter seed", text, "give a number from 0 to 2147483647"):
        check_parameters(find_notebooks([], None), {"seed": text})


@pytest.mark.parametrize("name", ["epoch", "Epochs", "batch_size", ""])
def test_an_unknown_parameter_is_refused_with_the_known_ones(notebooks, name):
    with refused(f"parameter {name!r}", "is unknown", "choose from seed, epochs, rate, quick"):
        check_parameters(find_notebooks([], None), {name: "2"})


@pytest.mark.parametrize("name", ["data", "run", "recipe", "groups", "split", "external", "allow"])
def test_an_option_given_as_a_parameter_is_not_ignored(notebooks, name):
    with refused(f"parameter {name!r}", f"give it as --{name} other", "without -p"):
        check_parameters(find_notebooks([], None), {name: "other"})


@settings(max_examples=100, deadline=None)
@given(text=st.text("0123456789.-eNTrue[]{}(),:'\"x \n", max_size=12))
def test_any_text_is_a_value_or_refused(text):
    declared = Parameter("int", None)
    try:
        value = chain._parse("epochs", text, declared)
    except CovidLungsError as error:
        assert repr(text) in str(error)
        return
    assert value is None or type(value) is int
    assert ast.literal_eval(text) == value


def test_the_chain_runs_in_order_with_its_parameters(notebooks, runs, data_set):
    write_notebook(notebooks / "03_detect.ipynb", SHARED + OWN, "assert (epochs, rate) == (2, 0.5)")
    given = {"epochs": "2", "seed": "5"}
    folder = run(data=str(data_set.root), recipe="original", given=given)
    assert folder == runs / "a"
    for number in ("01", "04"):
        expected = repr((str(data_set.root), "original", 5))
        assert (folder / f"{number}.txt").read_text() == expected
    executed = sorted(path.name for path in (folder / "notebooks").iterdir())
    assert executed == ["01_first.ipynb", "03_detect.ipynb", "04_last.ipynb"]
    outputs = nbformat.read(folder / "notebooks" / "04_last.ipynb", 4).cells[-1].outputs
    assert outputs, "the executed notebook holds what its cells gave"


def test_the_options_reach_the_notebooks_that_have_them(notebooks, runs, tmp_path, monkeypatch):
    for folder in ("data/train", "data/test", "elsewhere"):
        make_data_set(tmp_path / folder)
    (tmp_path / "patients.csv").write_text("file,group\n")
    given = {"split": "published", "allow": "mostly_unusable,class_without_xrays"}
    paths = {"data": "data", "external": "elsewhere", "groups": "patients.csv"}
    names = [*given, *paths]
    parameters = SHARED + "".join(f"{name}: str = None\n" for name in names if name != "data")
    note = f"(Path(run) / 'told.txt').write_text(repr([{', '.join(names)}]))"
    write_notebook(notebooks / "03_detect.ipynb", parameters, "from pathlib import Path", note)
    monkeypatch.chdir(tmp_path)  # the notebooks run in a folder of their own
    folder = run(**given, **paths)
    found = ast.literal_eval((folder / "told.txt").read_text())
    assert found == [*given.values(), *(str(tmp_path / path) for path in paths.values())]
    assert (folder / "04.txt").is_file(), "a notebook without them runs as before"


def test_xrays_from_elsewhere_are_looked_at_before_anything_is_trained(notebooks, runs, tmp_path):
    write_notebook(notebooks / "05_evaluate.ipynb", SHARED + "external: str = None\n", "")
    other = make_data_set(tmp_path / "other")
    (other.root / "Empty" / "images").mkdir(parents=True)
    with refused("other", "Empty", "allow class_without_xrays"):
        run(external=str(other.root))
    assert not runs.exists()
    run(external=str(other.root), allow="class_without_xrays")
    assert (runs / "a" / "notebooks" / "05_evaluate.ipynb").is_file()


def test_a_published_split_that_is_not_there_stops_a_run_before_it_begins(
    notebooks, runs, data_set
):
    with refused("split 'published'", "does not name the split of every", "Leave out --split"):
        run(split="published", data=str(data_set.root))
    assert not runs.exists()


def test_a_failing_cell_stops_the_chain_and_names_the_notebook(notebooks, runs):
    write_notebook(notebooks / "01_first.ipynb", SHARED, "raise ValueError('no lungs')")
    with refused("01_first stopped", "ValueError: no lungs", "runs/a/notebooks/01_first.ipynb"):
        run()
    assert (runs / "a" / "notebooks" / "01_first.ipynb").is_file()
    assert not (runs / "a" / "notebooks" / "03_detect.ipynb").exists()


@pytest.mark.parametrize(("number", "size"), [("03", "50"), ("04", "24")])
def test_a_size_that_the_network_cannot_take_is_refused_before_anything_runs(
    notebooks, runs, number, size
):
    parameters = SHARED + "image_size: int = None\n"
    for name in ("03_detect", "04_last"):
        write_notebook(notebooks / f"{name}.ipynb", parameters, "")
    with refused(f"image_size = {size}", "this network shrinks", "give a multiple"):
        run(only=[number], given={"image_size": size})
    assert not runs.exists()


@pytest.mark.parametrize("infected", [False, True])
def test_a_size_is_refused_for_networks_that_are_trained_only(
    notebooks, runs, data_set, capsys, infected
):
    """08's network takes no 96 pixels, those of the others do."""
    parameters = SHARED + "image_size: int = None\n"
    write_notebook(notebooks / "08_segment_infection.ipynb", parameters, NOTE.format("08"))
    for folder in data_set.root.glob("*/masks") if infected else ():
        shutil.copytree(folder, folder.with_name("infection masks"))
    make_run(runs / "a", data_set)
    chosen = {"data": str(data_set.root), "given": {"image_size": "96"}}
    if infected:
        with refused("image_size = 96", "this network shrinks", "give a multiple of 64"):
            run(**chosen)
    else:
        run(**chosen)
        said = capsys.readouterr().out
        assert "08_segment_infection: skipped, since it needs infection masks" in said
    assert (runs / "a" / "04.txt").exists() != infected
    assert not (runs / "a" / "08.txt").exists()


@pytest.mark.parametrize("lacking", ["class", "masks", ""])
def test_what_the_xrays_cannot_be_used_for_is_skipped_and_says_so(
    notebooks, runs, data_set, capsys, lacking
):
    if lacking == "class":
        (data_set.root / "COVID").rename(data_set.root / "Tuberculosis")
    for folder in data_set.root.glob("*/masks") if lacking == "masks" else ():
        folder.rename(folder.with_name("infection masks"))
    make_run(runs / "a", data_set)
    folder = run(only=["03", "04"])
    said = capsys.readouterr().out
    assert (folder / "03.txt").exists() == (lacking != "class")
    assert ("03_detect: skipped, since it needs the class COVID" in said) == (lacking == "class")
    assert (folder / "04.txt").exists() == (lacking != "masks")
    assert ("04_last: skipped, since it needs lung masks" in said) == (lacking == "masks")


def made(folder) -> dict[str, int]:
    """Return when each notebook of the chain last ran to its end, by number."""
    executed = sorted((folder / "notebooks").glob("*.ipynb"))
    return {path.name[:2]: path.stat().st_mtime_ns for path in executed}


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """A run whose notebooks, tiny as they are, make files that the real ones make or read."""
    folder = tmp_path_factory.mktemp("finished")
    codes = {
        "01_first": "(Path(run) / 'index.csv')"
        ".write_text('class,mask,infection_mask\\nCOVID,a,\\nNormal,b,\\n')",
        "03_detect": "(Path(run) / 'detection' / 'metrics.json').write_text(str(epochs))",
        "04_last": "(Path(run) / 'segmentation' / 'history.csv').write_text(str(seed))",
    }
    for name, code in codes.items():
        parameters = SHARED + (OWN if name == "03_detect" else "")
        path = folder / "notebooks" / f"{name}.ipynb"
        write_notebook(path, parameters, "from pathlib import Path", code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_RUNS", str(folder / "runs"))
        patch.setattr("helpers.run.notebooks._folder", lambda: folder / "notebooks")
        patch.setattr("helpers.run.chain._report", lambda folder: None)
        run()
    (folder / "runs" / "a" / "report.html").touch()  # there is nothing to report
    inputs = up_to_date.describe_report(folder / "runs" / "a")
    up_to_date.record("report", folder / "runs" / "a", inputs)
    return folder


@pytest.fixture
def finished(finished_once, notebooks, runs):
    """A copy of that run, beside a copy of its notebooks."""
    for target in (notebooks, runs):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(finished_once / target.name, target)
    return runs / "a"


def test_nothing_is_run_again_where_nothing_has_changed(finished, capsys):
    before = made(finished)
    capsys.readouterr()
    run()
    assert made(finished) == before
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{name}: up to date, not run again (--force runs it anyway)"
        for name in ("01_first", "03_detect", "04_last")
    ]
    run(only=["03"])
    assert made(finished) == before, "not even where it is named"


def test_what_has_changed_runs_again_and_says_why(finished, notebooks, capsys):
    before = made(finished)
    capsys.readouterr()
    write_notebook(notebooks / "04_last.ipynb", SHARED, "print('other')")
    (finished / "detection" / "metrics.json").unlink()
    run()
    after = made(finished)
    assert [number for number in after if after[number] != before[number]] == ["03", "04"]
    said = capsys.readouterr().out
    assert "01_first: up to date" in said
    assert "03_detect: runs (detection/metrics.json is missing)\n03_detect: finished in " in said
    assert "04_last: runs (changed: code)" in said


def test_what_an_earlier_notebook_makes_anew_runs_its_readers_in_the_same_run(finished, notebooks):
    before = made(finished)
    table = "class,mask,infection_mask\\nCOVID,a,\\nA,b,\\n"
    code = f"from pathlib import Path\n(Path(run) / 'index.csv').write_text('{table}')"
    write_notebook(notebooks / "01_first.ipynb", SHARED, code)
    run()
    assert all(made(finished)[number] > before[number] for number in ("01", "03", "04"))
    before = made(finished)
    run()
    assert made(finished) == before


def test_force_runs_what_is_chosen_and_its_training_anew(finished):
    left = [finished / part / name for part in ("detection", "segmentation") for name in TRAINING]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    before = made(finished)
    run(only=["01"], force=True)
    assert all(path.exists() for path in left), "01 trains nothing"
    run(only=["01", "03"], force=True)
    after = made(finished)
    assert [number for number in after if after[number] != before[number]] == ["01", "03"]
    assert [path.exists() for path in left] == [False, False, True, True]


def test_a_forced_run_that_fails_goes_on_without_force(finished, notebooks):
    write_notebook(notebooks / "03_detect.ipynb", SHARED + OWN, "print(1)", "raise ValueError")
    with pytest.raises(CovidLungsError, match="03_detect stopped at cell 4"):
        run(force=True)
    before = made(finished)
    write_notebook(notebooks / "03_detect.ipynb", SHARED + OWN, "print('mended')")
    run()
    after = made(finished)
    assert [number for number in after if after[number] != before[number]] == ["03", "04"]


def test_a_limit_of_time_reaches_the_cells(finished, notebooks):
    write_notebook(notebooks / "04_last.ipynb", SHARED, "import time; time.sleep(60)")
    with refused("04_last stopped at cell 3", "within 1 seconds", "--timeout"):
        run(timeout=1)


def run_alone(notebooks, code: str) -> list[str]:
    """Return the lines that code prints in a process of its own, with these notebooks."""
    folder = f"helpers.run.notebooks._folder = lambda: pathlib.Path({str(notebooks)!r})"
    code = f"import pathlib, sys, helpers.run.notebooks\n{folder}\n{code}"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=project_root())
    assert result.stderr == "", "no bar where nobody looks"
    return result.stdout.splitlines()


def test_what_is_up_to_date_needs_no_papermill(finished, notebooks):
    heavy = ("papermill", "scipy", "nbconvert", *TAKES_THE_GPU)
    said = run_alone(
        notebooks,
        "from helpers.run.chain import Request, run_chain\n"
        "run_chain(Request(run='a'))\n"
        f"print([name for name in {heavy} if name in sys.modules])",
    )
    assert [line.split()[1] for line in said[:-1]] == ["up"] * 3
    assert said[-1] == "[]"


def test_what_starts_notebooks_leaves_the_gpu_to_them(notebooks, runs, data_set, cache):
    """What the command or notebook 00 held of its memory, their kernels would lack."""
    make_run(runs / "a", data_set)
    write_notebook(notebooks / "05_evaluate.ipynb", SHARED + "external: str = None\n", "")
    _, imports, *_ = read_code(project_root() / "notebooks" / "00_run_everything.ipynb")
    data = str(data_set.root)
    told = ["run", "--force", "--run", "a", "--data", data, "--external", data]
    said = run_alone(
        notebooks,
        f"{imports}\n"
        "from helpers.run.command import main\n"
        f"print([main(told) for told in ({told}, ['audit', {data!r}], ['cache'])])\n"
        f"frame_report(find_run('a', {data!r}, 'demo'))\n"
        f"print([name for name in {TAKES_THE_GPU} if name in sys.modules])",
    )
    assert said[-2:] == ["[0, 0, 0]", "[]"]
    assert len(list((runs / "a").glob("notebooks/*.html"))) == 4, "the notebooks ran"


REPORT = chain._report
TOUCHED = {
    "its words": lambda package, run: extend(package / "report/templates/words.toml"),
    "a figure": lambda package, run: (run / "figures" / "04_new.png").touch(),
    "a part of the run": lambda package, run: (run / "split.csv").touch(),
    "a notebook's page": lambda package, run: (run / "notebooks" / "04_last.html").unlink(),
    "itself": lambda package, run: extend(run / "report.html"),
    "its absence": lambda package, run: (run / "report.html").unlink(),
}


def extend(path):
    path.write_text(path.read_text() + "\n")


@pytest.fixture
def reported(finished, tmp_path, monkeypatch):
    """A copy of the package, and the numbers of the reports that were written, one by now."""
    package = tmp_path / "helpers"
    shutil.copytree(versions.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(versions, "PACKAGE", package)
    written = []

    def write(folder):
        written.append(len(written))
        (folder / "report.html").write_text(f"report {len(written)}")
        (folder / "notebooks" / "04_last.html").write_text("page")

    monkeypatch.setattr(chain, "_report", REPORT)
    monkeypatch.setattr("helpers.report.report.write_report", write)
    (finished / "report.html").unlink()
    run()
    assert written == [0]
    return package, written


@pytest.mark.parametrize("part", TOUCHED)
def test_the_report_is_written_anew_when_what_made_it_has_changed(part, reported, finished):
    package, written = reported
    TOUCHED[part](package, finished)
    for _ in range(2):
        run()
    assert written == [0, 1]
    assert "2" in (finished / "report.html").read_text()


def test_the_report_stays_when_other_things_change(reported, finished):
    package, written = reported
    extend(package / "predict" / "prediction.py")
    (finished / "detection" / "notes.txt").touch()
    (finished / "report.html").touch()
    run()
    assert written == [0]


def test_a_file_that_is_no_notebook_is_named(notebooks):
    (notebooks / "04_last.ipynb").write_text('{"cells": 3')
    with refused("04_last.ipynb", "is no notebook", "restore it with git"):
        run()
