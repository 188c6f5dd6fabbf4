"""The notebooks in Colab's versions: each on a machine of its own, with nothing but Drive shared.

`uv run --group dev pytest -rs tests/colab/campaign.py`

`colab/requirements.txt` names the versions, `colab/google` stands in for the package that only
Colab's runtime has. A machine is a folder with a home, a disk and an environment that the bootstrap
cell fills; its kernel runs the notebook as stored, but for the fields of its form. Git is told by
configuration to find the release here instead of on GitHub.
"""

import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from helpers.data.synthetic import write_data_set
from helpers.storage.folders import project_root
from helpers.storage.layout import list_notebooks, list_results
from maintenance.remake_notebooks import list_series

PYTHON = "3.13"
ROOT, RUNTIME = project_root(), Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = RUNTIME / "requirements.txt"
NOTEBOOKS = list_series(ROOT)[1:]
PINNED = {line.partition("==")[0] for line in PINS.read_text().splitlines() if "==" in line}
CHAIN = len(list_notebooks())
# One epoch on small images: whether it runs is asked here, not what the networks learn.
QUICK = {"epochs": 1, "image_size": 128, "batch_size": 16}
COUNTS = {"COVID": 30, "Normal": 50, "Lung_Opacity": 20, "Viral Pneumonia": 20}
CONFIGURATION = 'c = get_config()\nc.InteractiveShellApp.extensions = ["google.colab"]\n'
# Of whoever runs this, nothing that could lead a machine to what it must not have.
HIDDEN = re.compile("COVID_LUNGS_|VIRTUAL_ENV|PYTHON|UV|JUPYTER|IPYTHON|KERAS|COLAB_|GIT_")


def run_uv(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Run uv, and show it every Python that pyenv has, whose shims start only what is named."""
    variables = dict(os.environ)
    if pyenv := shutil.which("pyenv"):
        found = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True)
        variables["PYENV_VERSION"] = ":".join(found.stdout.split())
    program = os.environ.get("UV") or shutil.which("uv") or pytest.skip("needs uv: pip install uv")
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=RUNTIME)


@pytest.fixture(scope="session")
def versions() -> Path:
    """The packages of an environment with Colab's versions, kept from one session to the next."""
    folder = ROOT / ".venv-colab"
    kept = folder / PINS.name
    if not kept.is_file() or kept.read_text() != PINS.read_text():
        made = run_uv("venv", "--clear", "--python", PYTHON, folder)
        if made.returncode:
            pytest.skip(f"needs Python {PYTHON}, which uv does not find: {made.stderr.strip()}")
        python = folder / "bin" / "python"
        filled = run_uv("pip", "install", "--compile-bytecode", "--python", python, "-r", PINS)
        assert filled.returncode == 0, filled.stderr
        shutil.copy(PINS, kept)
    return folder / "lib" / f"python{PYTHON}" / "site-packages"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the files as they are here, under the tag of their version."""
    folder = tmp_path_factory.mktemp("release")

    def git(*arguments: str, **options: str | Path) -> str:
        author = ["-c", "user.name=x", "-c", "user.email=x@example.invalid"]
        command = ["git", *author, *arguments]
        return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout

    for name in git("ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT).split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", "release", cwd=folder)
    git("tag", f"v{PROJECT['version']}", cwd=folder)
    return folder


@dataclass
class Machine:
    """A machine that Colab lends for one notebook.

    Attributes:
        folder: its own; new for each machine.
        versions: the packages that Colab has.
        release: the repository that stands in for GitHub's.
        drive: the folder that is Drive's.
    """

    folder: Path
    versions: Path
    release: Path
    drive: Path

    @property
    def content(self) -> Path:
        """What `/content` is on Colab."""
        return self.folder / "content"

    @property
    def brought(self) -> Path:
        """Where the bootstrap cell puts what Colab does not have."""
        return self.folder / "env" / "lib" / f"python{PYTHON}" / "site-packages"

    def set_up(self) -> None:
        """Make home, disk and environment, all of them empty."""
        profile = self.folder / "home" / ".ipython" / "profile_default"
        profile.mkdir(parents=True)
        (profile / "ipython_config.py").write_text(CONFIGURATION)
        self.content.mkdir()
        made = run_uv(
            "venv", "--python", self.versions.parents[2] / "bin/python", self.folder / "env"
        )
        assert made.returncode == 0, made.stderr
        (self.brought / "colab.pth").write_text(f"{self.versions}\n{RUNTIME}\n")

    def variables(self, mounts: str) -> dict[str, str]:
        """Return the environment of its kernel."""
        kept = {name: value for name, value in os.environ.items() if not HIDDEN.match(name)}
        return kept | {
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder / 'env' / 'bin'}:{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(Path.home() / ".config"),  # where pip finds its index
            "JUPYTER_PATH": str(self.versions.parents[2] / "share" / "jupyter"),
            "PIP_CACHE_DIR": str(self.folder.parent / "pip"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.release.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": PROJECT["urls"]["Repository"],
            "COVID_LUNGS_CONTENT": str(self.content),
            "COLAB_DRIVE": str(self.drive),
            "COLAB_MOUNTS": mounts,
            "COLAB_UPLOADS": os.environ.get("COLAB_UPLOADS", ""),
        }

    def run(self, path: Path, mounts: str = "", **fields: object) -> nbformat.NotebookNode:
        """Run a notebook from its first cell to its last, and return it with its outputs."""
        self.set_up()
        command = [str(self.folder / "env/bin/python"), "-m", "colab_kernel_launcher"]
        command += ["-f", "{connection_file}"]
        if mounts == "full":  # root of its own mounts only
            command = ["unshare", "--map-root-user", "--mount", *command]

        class Kernel(AsyncKernelManager):
            @property
            def kernel_spec(self) -> KernelSpec:
                return KernelSpec(argv=command, language="python")

        notebook = nbformat.read(path, as_version=4)
        fill_form(notebook, fields)
        client = NotebookClient(notebook, kernel_manager_class=Kernel, timeout=900)
        client.resources = {"metadata": {"path": str(self.content)}}
        try:
            client.execute(env=self.variables(mounts))
        finally:
            mounted = self.content / "drive" / "MyDrive"
            if mounted.is_dir() and not self.drive.exists():
                mounted.rename(self.drive)
        return notebook


def fill_form(notebook: nbformat.NotebookNode, fields: dict[str, object]) -> None:
    """Change the parameters as Colab does when a user fills in the fields of its form."""
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    for name, value in fields.items():
        field = re.search(rf"(?m)^{name}: \w+ = (.*?)  # @param ", cell.source)
        if field:  # each notebook has the fields that it needs
            cell.source = cell.source[: field.start(1)] + repr(value) + cell.source[field.end(1) :]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return all that the cells of a notebook printed."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return "".join(o.text for o in outputs if o.get("name") == "stdout")


@pytest.fixture(scope="session")
def lend(versions, release, tmp_path_factory):
    """Return what lends a machine that is new, for a Drive."""
    place = tmp_path_factory.mktemp("machines")
    return lambda name, drive: Machine(place / name, versions, release, drive)


@pytest.fixture(scope="module")
def xrays(tmp_path_factory) -> Path:
    """A data set of synthetic X-rays."""
    folder = tmp_path_factory.mktemp("xrays")
    write_data_set(folder, COUNTS)
    return folder


@pytest.fixture(scope="module")
def drive(xrays, tmp_path_factory) -> Path:
    """A Drive with an archive of X-rays on it."""
    folder = tmp_path_factory.mktemp("google") / "drive"
    shutil.make_archive(str(folder / "xrays"), "zip", xrays)
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_finds_on_drive_what_those_before_it_left(path, lend, drive, xrays, monkeypatch):
    machine = lend(path.stem, drive)
    monkeypatch.setenv("COLAB_UPLOADS", str(xrays / "COVID" / "images" / "COVID-1.png"))
    data = str(machine.content / "drive" / "MyDrive" / "xrays.zip")
    mounts = "late late" if path == NOTEBOOKS[0] else ""
    notebook = machine.run(path, mounts, data=data, **QUICK)
    text = printed(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert text.count("Drive did not answer. Trying again") == len(mounts.split())
    assert "Google Drive is mounted: the run is kept in MyDrive/covid-lungs." in text
    assert brought(machine) & {"covid-lungs", "papermill"} == {"covid-lungs", "papermill"}
    assert not brought(machine) & PINNED, "Colab's own packages are to stay"
    if path == NOTEBOOKS[-1]:  # needs the networks alone, and an X-ray that is uploaded
        assert (machine.content / "COVID-1.png").is_file()
    else:
        (unpacked,) = machine.content.glob("covid-lungs/cache/data/xrays-*")
        assert unpacked.is_dir(), "copied from Drive, and unpacked here"


def brought(machine: Machine) -> set[str]:
    """Return the packages that the bootstrap cell has put into a machine's environment."""
    found = distributions(path=[str(machine.brought)])
    return {entry.metadata["Name"].lower().replace("_", "-") for entry in found}


def test_the_last_notebook_leaves_a_whole_run_on_drive(drive):
    run = drive / "covid-lungs" / "runs" / "xrays-demo"
    missing = [pattern for pattern in list_results() if not list(run.glob(pattern))]
    outside = {"external/", "notebooks/", "report.html", "provenance.json"}
    assert [name for name in missing if not name.startswith(tuple(outside))] == []
    assert sorted(path.name for path in drive.iterdir()) == ["covid-lungs", "xrays.zip"]
    assert sorted(path.name for path in (drive / "covid-lungs").iterdir()) == ["runs"]


def test_without_drive_the_demo_runs_and_ends_with_the_report(lend, tmp_path):
    machine = lend("everything", tmp_path / "drive")
    notebook = machine.run(ROOT / "notebooks" / "00_run_everything.ipynb", "declined", **QUICK)
    text = printed(notebook)
    assert "Drive was not mounted (Colab was not allowed to use it)" in text
    assert "is lost with it" in text
    assert text.count(": finished in ") == CHAIN
    run = machine.content / "covid-lungs" / "runs" / "demo"
    assert (run / "report.html").is_file()
    shown = [output.data["text/html"] for output in notebook.cells[-2].outputs]
    assert "srcdoc=" in shown[0]
    assert len(list((run / "notebooks").glob("*.ipynb"))) == CHAIN


def test_with_nothing_trained_and_no_drive_the_lungs_of_an_upload_are_drawn(
    lend, tmp_path, xrays, monkeypatch
):
    machine = lend("lungs", tmp_path / "drive")
    monkeypatch.setenv("COLAB_UPLOADS", str(xrays / "COVID" / "images" / "COVID-1.png"))
    text = printed(machine.run(NOTEBOOKS[-1], "declined"))
    drawn = re.search(r"your X-ray: .+\n.+\nThe lungs fill (\d+)% of the image\.\n", text)
    assert "\naccepted\n" in text
    assert 10 < int(drawn[1]) < 40
    assert "Drive was not mounted (Colab was not allowed to use it)" in text
    assert "No run of yours was found" in text


def test_a_full_drive_stops_the_notebook_and_says_where_to_make_room(lend, tmp_path):
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", tmp_path]
    if not shutil.which("unshare") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk in a namespace of its own")
    machine = lend("full", tmp_path / "drive")
    with pytest.raises(CellExecutionError, match="Google Drive is full"):
        machine.run(NOTEBOOKS[0], "full", **QUICK)
