"""The command line: `covid-lungs run`, `audit`, `predict`, `export`, `models` and `cache`."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.storage.errors import CovidLungsError

if TYPE_CHECKING:
    from helpers.predict.prediction import Hire

SOURCE = "demo, kaggle, folder, .zip"
RUN = "a run's name or folder"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="covid-lungs",
        description="Detect COVID-19 in chest X-rays and segment the lungs. Not a medical device.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="run the notebooks in order"))
    audit = commands.add_parser("audit", help="say what is wrong with a data set")
    audit.add_argument("source", metavar="SOURCE", help=SOURCE)
    audit.set_defaults(act=audit_data)
    # The functions below import what they need: pandas and Keras take seconds, --help none.
    _add_predict(commands.add_parser("predict", help="draw the lungs of X-rays"))
    export = commands.add_parser("export", help="write a run's networks as ONNX and LiteRT")
    export.add_argument("--run", required=True, metavar="RUN", help=f"whose networks: {RUN}")
    export.add_argument(
        "--data", metavar="SOURCE", help="where the run's X-rays are (default: where they were)"
    )
    export.set_defaults(act=export_networks)
    models = commands.add_parser("models", help="say what network is inside the package")
    models.set_defaults(act=describe_models)
    cache = commands.add_parser("cache", help="say what the cache holds, or empty it")
    cache.add_argument("--clear", action="store_true", help="remove all that can be made again")
    cache.set_defaults(act=look_after_cache)
    return parser


def _add_predict(predict: argparse.ArgumentParser) -> None:
    """Add the options of `predict`."""
    usual = "(default: the package's lung network)"
    whose = f"whose networks, also for COVID and infection: {RUN} {usual}"
    predict.add_argument("--run", metavar="RUN", help=whose)
    where = "where masks go (default: RUN/predictions; without --run: predictions)"
    predict.add_argument("--out", type=Path, metavar="FOLDER", help=where)
    elsewhere = "predict on local:N, tcp://HOST:PORT or a scheduler file (see docs/cluster.md)"
    predict.add_argument("--cluster", metavar="ADDRESS", help=elsewhere)
    predict.add_argument("paths", nargs="+", metavar="PATH", help="an X-ray, or a folder of them")
    predict.set_defaults(act=predict_xrays)


def _add_run(run: argparse.ArgumentParser) -> None:
    """Add the options of `run`, each under the name of its field in `chain.Request`."""
    add = run.add_argument
    add("--data", default="demo", metavar="SOURCE", help=SOURCE)
    add("--recipe", default="demo", metavar="NAME", help="demo, best or original")
    add("--run", metavar="NAME_OR_FOLDER", help="where the results go")
    add("--groups", metavar="FILE", help=".csv with file,group: what stays together, as patients")
    way = "drawn, or published: the data set's own, where it brings one"
    add("--split", default="drawn", metavar="WAY", help=way)
    other = "X-rays from elsewhere to test the networks on, too"
    add("--external", metavar="SOURCE", help=other)
    several = {"action": "append", "default": []}
    add("--allow", metavar="FINDING", help="go on although the audit found this", **several)
    parameter = "a notebook's parameter, such as: -p epochs 2"
    add("-p", dest="given", nargs=2, metavar=("KEY", "VALUE"), help=parameter, **several)
    add("--only", metavar="NN", help="such as 04", **several)
    add("--from", dest="start", metavar="NN", help="the first notebook to run")
    anew = "run what is up to date, too, and train anew"
    add("--force", action="store_true", help=anew)
    several_gpus = "GPUs of this machine that train together; needs KERAS_BACKEND=jax"
    add("--devices", type=int, metavar="N", help=several_gpus)
    add("--timeout", type=int, metavar="SECONDS", help="that one cell may take")
    run.set_defaults(act=run_notebooks)


def run_notebooks(options: argparse.Namespace) -> int:
    """Run the chain, print its scores and return the exit status."""
    from helpers.evaluate.metrics_file import describe_run
    from helpers.run.chain import Request, run_chain
    from helpers.train.devices import ASKED

    if options.devices is not None:
        os.environ[ASKED] = str(options.devices)  # the notebooks' processes inherit it
    others = ("command", "act", "devices")
    asked = {name: value for name, value in vars(options).items() if name not in others}
    asked |= {"given": dict(options.given), "allow": ",".join(options.allow)}
    print(describe_run(run_chain(Request(**asked))))
    return 0


def audit_data(options: argparse.Namespace) -> int:
    """Print the findings in a data set and return 1 if there are errors among them."""
    from helpers.audit.examination import describe_audit, recall
    from helpers.data.sources import find_data

    _, audit = recall(find_data(options.source))
    print(describe_audit(audit))
    return int(any(found["level"] == "error" for found in audit["findings"]))


def predict_xrays(options: argparse.Namespace) -> int:
    """Predict X-rays, here or by a cluster, and return 1 if one of them has no mask."""
    from helpers.predict.files import find_xrays
    from helpers.storage.folders import find_trained

    run = None if options.run is None else find_trained(options.run)
    files = find_xrays(options.paths)
    folder = options.out or (run or Path()) / "predictions"
    with _join(options.cluster, run) as hire:
        # Only now: a misspelt path or address should not wait for Keras.
        from helpers.predict.networks import load_likeness, load_networks
        from helpers.predict.prediction import predict_files
        from helpers.predict.summary import describe_predictions

        networks = load_networks(run)
        table = predict_files(networks, files, folder, load_likeness(run), hire)
    print(describe_predictions(table, folder, networks, run))
    return int(table["lung_fraction"].isna().any())


@contextmanager
def _join(address: str | None, run: Path | None) -> Iterator["Hire | None"]:
    """Give what hires the workers of a cluster; None without an address."""
    if address is None:
        yield None
        return
    from helpers.predict.scheduler import reach

    with reach(address) as client:
        from helpers.predict.cluster import Cluster  # only now, since it needs Keras

        yield Cluster(client, address, run).hire


def export_networks(options: argparse.Namespace) -> int:
    """Write a run's networks as ONNX and LiteRT files, and print how they agree with Keras."""
    from helpers.storage.folders import find_trained

    run = find_trained(options.run)
    from helpers.predict.export import describe_export, export_run

    print(describe_export(export_run(run, options.data), run))
    return 0


def describe_models(options: argparse.Namespace) -> int:
    """Print what network is inside the package, with its hash, licence and card."""
    from helpers.train.lungs import describe_network

    print(describe_network())
    return 0


def look_after_cache(options: argparse.Namespace) -> int:
    """Print what the cache holds, or empty it and return 1 if something had to stay."""
    from helpers.run.cache import clear_cache, describe_cache
    from helpers.storage.folders import cache_root, shown

    if not options.clear:
        print(describe_cache())
        return 0
    removed, stayed = clear_cache()
    print(f"{cache_root()}: {removed:,} files and folders removed")
    for path, reason in stayed.items():
        print(f"{shown(path)} stays: {reason}.")
    return int(bool(stayed))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status.

    0 if all succeeded, 1 if not, 2 if misused, 130 if interrupted, 141 if nobody reads its output.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")  # a console may lack × or →
    given = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(given)
    # Ends a command, and its kernel, as Ctrl-C does.
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = options.act(options)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return status
    except BrokenPipeError:
        # `| head` has read enough; Python must not complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except CovidLungsError as error:
        print(f"covid-lungs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # What --force forgot is forgotten: with it, the finished part would be run once more.
        again = shlex.join(["covid-lungs", *(word for word in given if word != "--force")])
        print(f"covid-lungs: stopped. To go on: {again}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, usual)
