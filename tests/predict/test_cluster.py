"""`predict --cluster`: nearly all on workers that are threads here, under a true scheduler."""

import json
import logging
import os
import platform
import re
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import dask
import keras
import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from helpers.data.images import resize_image
from helpers.predict import cluster, prediction, scheduler, worker
from helpers.predict.batch import BATCH, Answer
from helpers.predict.cluster import Cluster, Workers
from helpers.predict.files import UNFINISHED, XrayFile, find_xrays
from helpers.predict.networks import describe_networks, load_likeness, load_networks
from helpers.predict.novelty import learn_likeness, write_likeness
from helpers.predict.table import COLUMNS
from helpers.predict.unfinished import go_on
from helpers.predict.worker import Job
from helpers.run.command import main
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from tests.predict.test_unfinished import contents, draw
from tests.support.builders import refused, write_image
from tests.support.trainings import Stopped

COUNT = 6 * BATCH + 3
MACHINE = platform.node()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with a small network for the lungs."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "segmentation").mkdir()
    keras.utils.set_random_seed(2)
    segmentation = SegmentationSettings(32, (2,), 1, 4, 1e-2)
    build_unet(segmentation).save(folder / "segmentation/model.keras")
    # It has learnt from such boxes, so that nobody asks whether they are of a chest.
    boxes = np.stack([resize_image(draw(number), (32, 32)) for number in range(99)])
    write_likeness(folder / "segmentation", learn_likeness(boxes, pd.Series(range(99))))
    return folder


@pytest.fixture(scope="module")
def xrays(tmp_path_factory) -> Path:
    """X-rays for several blocks, one of which cannot be decoded."""
    folder = tmp_path_factory.mktemp("in")
    for number in range(COUNT):
        write_image(folder / f"x{number:03}.png", draw(number))
    (folder / "x020.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def plain(run, xrays) -> dict[str, bytes]:
    """What the plain command makes."""
    out = run / "plain"
    assert main(["predict", "--run", str(run), "--out", str(out), str(xrays)]) == 1
    return contents(out)


@pytest.fixture(scope="module")
def address() -> str:
    """A scheduler's address, with two workers that are threads of this process."""
    usual = {"silence_logs": logging.CRITICAL, "dashboard_address": ":0", "protocol": "tcp"}
    with LocalCluster(None, 2, 2, processes=False, host="127.0.0.1", **usual) as started:
        yield started.scheduler_address


@pytest.fixture
def predict(run, xrays, address, tmp_path):
    """The command with a cluster; it returns its exit status."""

    def act(*more: str, at: str = address, source: Path = xrays) -> int:
        given = ["predict", "--run", str(run), "--out", str(tmp_path / "out"), "--cluster", at]
        return main([*given, *more, str(source)])

    return act


def stop_after(monkeypatch, count: int) -> None:
    """Stop the next prediction when so many batches are kept."""
    add, done = prediction.Unfinished.add, []

    def keep(unfinished, batch, rows):
        add(unfinished, batch, rows)
        done.append(1)
        if len(done) == count:
            raise Stopped

    monkeypatch.setattr(prediction.Unfinished, "add", keep)


def test_a_cluster_leaves_the_bytes_of_the_plain_command(predict, plain, tmp_path, capsys):
    assert predict() == 1
    assert contents(tmp_path / "out") == plain
    said = capsys.readouterr()
    assert re.match(r"covid-lungs: 2 workers, 4 threads\. See them at http://127\.", said.err)
    assert said.err.count("x020.png: cannot be decoded") == said.err.count("x020") == 1
    assert f"masks: {COUNT - 1}" in said.out


def test_relative_paths_are_those_of_the_command(run, xrays, address, tmp_path, monkeypatch):
    monkeypatch.chdir(xrays.parent)
    given = ["predict", "--run", f"./{os.path.relpath(run)}", xrays.name]
    assert main([*given, "--out", "plain"]) == 1
    assert main([*given, "--out", "out", "--cluster", address]) == 1
    assert f"\n{xrays.name}/x000.png," in Path("out/predictions.csv").read_text()
    assert contents(Path("out")) == contents(Path("plain"))


@pytest.mark.parametrize("first", ["cluster", "plain"])
def test_whoever_goes_on_leaves_the_same(first, predict, plain, run, xrays, tmp_path, monkeypatch):
    def predict_here():
        return main(["predict", "--run", str(run), "--out", str(tmp_path / "out"), str(xrays)])

    begin, end = (predict, predict_here) if first == "cluster" else (predict_here, predict)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 3)
        begin()
    assert (tmp_path / "out" / UNFINISHED).read_bytes().count(b"\n") == 4
    assert end() == 1
    assert contents(tmp_path / "out") == plain


def test_the_mark_of_a_command_is_gone_after_it(predict, tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        stop_after(monkeypatch, 2)
        predict()
    assert not list((tmp_path / "out").glob(".*"))


ADDRESSES = {
    "local:0": ("is no address of a cluster", "Give local:N"),
    "local:two": ("is no address of a cluster", "Give local:N"),
    "tpc://node:8786": ("is no address of a cluster", "tcp://192.168.0.5:8786"),
    "tcp://node": ("is no address of a cluster", "Give local:N"),
    "no/such.json": ("No such file", "dask scheduler --scheduler-file no/such.json"),
    "tcp://127.0.0.1:1": ("no Dask scheduler answers", "open the port"),
    "tls://127.0.0.1:1": ("lacks the certificates", "docs/cluster.md"),
}


@pytest.mark.parametrize("at", ADDRESSES)
def test_a_bad_address_gives_one_line_and_nothing_is_written(
    at, predict, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(scheduler, "CONNECT", 0.3)
    assert predict(at=at) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert at in said.err
    assert all(part in said.err for part in ADDRESSES[at])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"address": 8786}', '{"address": "here.json"}', "[" * 9999]
)
def test_what_is_no_scheduler_file_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here.json").write_text(content)
    with refused("here.json", "is no scheduler file", "write it anew"):
        scheduler.find_scheduler("here.json")


def test_a_scheduler_file_leads_to_its_scheduler(address, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"type": "Scheduler", "address": address}))
    with scheduler.reach(str(file)) as client:
        assert len(client.nthreads()) == 2


def test_a_listener_that_is_no_scheduler_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with refused(at, "does not answer as one", "correct the address"), scheduler.reach(at):
            pass


def test_without_dask_the_message_says_how_to_install_it(predict, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "helpers.predict.scheduler")
    assert predict() == 1
    assert "needs Dask. Install it with `uv sync --extra cluster`" in capsys.readouterr().err


@pytest.fixture
def lonely():
    """A scheduler without workers."""
    with LocalCluster(None, 0, silence_logs=logging.CRITICAL, dashboard_address=":0") as started:
        yield started


def test_without_workers_the_wait_ends(lonely, predict, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scheduler, "PATIENCE", 0.2)
    assert predict(at=lonely.scheduler_address) == 1
    error = capsys.readouterr().err
    assert f"{lonely.scheduler_address}: no worker within 0.2 seconds. Start some" in error
    assert not (tmp_path / "out").exists()


def hire_nobody(client, at: str) -> Workers:
    """Return the workers of a scheduler that has none any more."""
    return Workers(Cluster(client, at, None), None, Path(), [], [])


def test_workers_that_are_all_gone_are_missed(lonely, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    monkeypatch.setattr(cluster, "PULSE", 0.1)
    with lonely.get_client() as client:
        workers = hire_nobody(client, "tcp://here:1")
        with refused("tcp://here:1", "all workers are gone", "the same command again: it goes on"):
            workers._take(workers.pool.submit(abs, 1))


def test_a_scheduler_that_is_gone_is_missed(lonely, monkeypatch):
    monkeypatch.setattr(cluster, "PULSE", 0.1)
    client = lonely.get_client()
    workers = hire_nobody(client, "tcp://here:1")
    future = workers.pool.submit(abs, 1)
    client.cancel(list(workers.pool._futures))
    with refused("tcp://here:1", "the scheduler is gone", "the same command again: it goes on"):
        workers._take(future)
    client.close()


def test_two_commands_on_one_folder_are_kept_apart(predict, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with go_on(tmp_path / "out", "other"):
        assert predict() == 1
    assert "another prediction is writing there" in capsys.readouterr().err


def alter(name: str, version: str) -> tuple[tuple[str, str], ...]:
    """Return the versions here, but for one."""
    return tuple((dict(worker.find_versions()) | {name: version}).items())


CANNOT = {
    "another version": ("cluster.find_versions", lambda: alter("keras", "2.0")),
    "another run": ("prediction.describe_networks", lambda networks, likeness: "other"),
    "other X-rays": ("cluster._choose", lambda files: [(files[0].path, 7)]),
    "another --out": ("cluster._marking", lambda folder: nullcontext("no-such-mark")),
}
NAMED = {
    "another version": (f"has keras {keras.__version__} (here 2.0)", "Install the same versions"),
    "another run": ("does not see the run", "at the same path"),
    "other X-rays": ("does not see the X-ray", "at the same path"),
    "another --out": ("does not see", "/out, where predictions go", "at the same path"),
}


@pytest.mark.parametrize("fault", CANNOT)
def test_workers_that_cannot_do_it_are_named_before_anything_begins(
    fault, predict, tmp_path, monkeypatch, capsys
):
    name, replaced = CANNOT[fault]
    monkeypatch.setattr(f"helpers.predict.{name}", replaced)
    assert predict() == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("covid-lungs: 2 of 2 workers cannot predict: ")
    assert error.count(f"{MACHINE} (tcp://127.0.0.1:") == 2
    assert all(part in error for part in NAMED[fault])
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_workers_that_give_no_answer_are_named(address, monkeypatch):
    error = Exception("ModuleNotFoundError: No module named 'helpers'")  # as Dask wraps it
    errors = {f"tcp://node:{port}": error for port in range(5)}
    errors["tcp://node:9"] = None, ""
    with scheduler.reach(address) as client:
        monkeypatch.setattr(client, "run", lambda *arguments, **options: errors)
        fault = "5 of 6 workers cannot predict: a machine (tcp://node:0) cannot import covid-lungs"
        with refused("(tcp://node:2)", fault, "Install it there, in the same version. And 2 more."):
            Cluster(client, address, None).check(None, [])


@pytest.fixture
def job(run, tmp_path) -> Job:
    """What a command asks of a worker, which each test asks of this process."""
    (tmp_path / "out/masks").mkdir(parents=True)
    (tmp_path / "out/overlays").mkdir()
    (tmp_path / "out/mark").touch()
    asked = describe_networks(load_networks(run), load_likeness(run))
    return Job("/", str(run), str(tmp_path / "out"), "mark", asked, worker.find_versions())


@pytest.fixture
def files(xrays) -> list[XrayFile]:
    return find_xrays([xrays])


def test_a_worker_that_joins_later_in_another_version_refuses(job, files):
    other = job._replace(versions=alter("scipy", "0.1"))
    with refused(f"the worker on {MACHINE}: has scipy", "(here 0.1)", "Install the same versions"):
        worker.predict_block(other, [files[:BATCH]])


def test_a_worker_whose_command_was_killed_writes_nothing(job, files):
    Path(job.folder, "mark").unlink()
    with refused(MACHINE, "does not see", "--out"):
        worker.predict_block(job, [files[:BATCH]])
    assert not contents(Path(job.folder))


def test_a_full_disk_names_the_machine_and_leaves_nothing_half_written(job, files, monkeypatch):
    def fill(path, content):
        with path.open("wb") as opened:
            opened.write(bytes(content)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fill)
    with refused(f"the worker on {MACHINE}: ", "masks/x000.png", "Make room"):
        worker.predict_block(job, [files[:BATCH]])
    assert contents(Path(job.folder)) == {"mark": b""}


def test_xray_by_xray_a_batch_comes_to_the_same(job, files):
    batch = files[18:23]  # with one that cannot be decoded
    (whole,) = worker.predict_block(job, [batch])
    made = contents(Path(job.folder))
    for place, file in enumerate(batch):
        row, remedy = whole.rows[place], whole.remedies[place]
        assert str(worker.predict_batch(job, batch, place)) == str(Answer([row], [remedy]))
        assert row[0] == file.path
    assert contents(Path(job.folder)) == made


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_an_xray_that_ends_its_workers_is_named_and_the_others_are_done(
    predict, run, tmp_path, monkeypatch, capsys
):
    for name in ("fatal", *"wxyz"):
        write_image(tmp_path / f"in/{name}.png", draw(ord(name[0])))
    whole = tmp_path / "whole"  # here, where it is an X-ray like others
    assert main(["predict", "--run", str(run), "--out", str(whole), str(tmp_path / "in")]) == 0
    monkeypatch.setattr(scheduler, "FAILURES", 0)
    with dask.config.set({"distributed.worker.preload": ["tests.support.fatal"]}):
        assert predict(at="local:2", source=tmp_path / "in") == 1
    file = tmp_path / "in/fatal.png"
    error = f"covid-lungs: {file}: {cluster.ENDED}. {cluster.REMEDY}, or leave it out.\n"
    assert error in capsys.readouterr().err
    made, expected = contents(tmp_path / "out"), contents(whole)
    header, row, *rows = made.pop("predictions.csv").decode().splitlines()
    assert row == f"{file},,,False,{cluster.ENDED}{',' * (len(COLUMNS) - 5)}"
    table = expected.pop("predictions.csv").decode().splitlines()
    assert [header, *rows] == [table[0], *table[2:]]
    assert made == {name: whole for name, whole in expected.items() if "fatal" not in name}
