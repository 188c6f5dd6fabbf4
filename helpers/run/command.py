"""The command line: `covid-lungs run`, `audit`, `predict`, `export` and `cache`."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from helpers.storage.errors import CovidLungsError

INTERRUPTED, CUT_OFF = 130, 141  # as shells count: 128, and the number of SIGINT or SIGPIPE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="covid-lungs",
        description="Detect COVID-19 in chest X-rays and segment the lungs. Not a medical device.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="run the notebooks in order"))
    audit = commands.add_parser("audit", help="say what is wrong with a data set")
    audit.add_argument("source", metavar="SOURCE", help="demo, kaggle, folder, .zip")
    audit.set_defaults(act=audit_data)
    _add_predict(commands.add_parser("predict", help="draw the lungs of X-rays"))
    _add_export(commands.add_parser("export", help="write a run's networks as ONNX and LiteRT"))
    cache = commands.add_parser("cache", help="say what the cache holds, or empty it")
    cache.add_argument("--clear", action="store_true", help="remove all that can be made again")
    cache.set_defaults(act=look_after_cache)
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    """Add the options of `run`."""
    run.add_argument("--data", default="demo", metavar="SOURCE", help="demo, kaggle, folder, .zip")
    run.add_argument("--recipe", default="demo", metavar="NAME", help="demo, best or original")
    run.add_argument("--run", metavar="NAME_OR_FOLDER", help="where the results go")
    run.add_argument(
        "--groups", metavar="FILE", help=".csv with file,group: what stays together, as patients"
    )
    run.add_argument(
        "--split",
        default="drawn",
        metavar="WAY",
        help="drawn, or published: the data set's own, where it brings one",
    )
    run.add_argument(
        "--external", metavar="SOURCE", help="X-rays from elsewhere to test the networks on, too"
    )
    run.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="FINDING",
        help="go on although the audit found this",
    )
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="a notebook's parameter, such as: -p epochs 2",
    )
    run.add_argument("--only", action="append", default=[], metavar="NN", help="such as 04")
    run.add_argument("--from", dest="start", metavar="NN", help="the first notebook to run")
    run.add_argument(
        "--force", action="store_true", help="run what is up to date, too, and train anew"
    )
    run.add_argument("--timeout", metavar="SECONDS", help="that one cell may take")
    run.set_defaults(act=run_notebooks)


def _add_predict(predict: argparse.ArgumentParser) -> None:
    """Add the options of `predict`."""
    predict.add_argument(
        "--run", required=True, metavar="RUN", help="whose networks: a run's name or folder"
    )
    predict.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where masks go (default: RUN/predictions)"
    )
    predict.add_argument("paths", nargs="+", metavar="PATH", help="an X-ray, or a folder of them")
    predict.set_defaults(act=predict_xrays)


def _add_export(export: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    export.add_argument(
        "--run", required=True, metavar="RUN", help="whose networks: a run's name or folder"
    )
    export.add_argument(
        "--data", metavar="SOURCE", help="where the run's X-rays are (default: where they were)"
    )
    export.set_defaults(act=export_networks)


def run_notebooks(options: argparse.Namespace) -> int:
    """Run the chain, print its figures and return the exit status."""
    # Here, since pandas takes half a second to import and --help should not wait for it.
    from helpers.evaluate.metrics_file import describe_run
    from helpers.run.chain import Request, run_chain

    request = Request(
        data=options.data,
        recipe=options.recipe,
        run=options.run,
        given=dict(options.parameters),
        only=options.only,
        start=options.start,
        groups=options.groups,
        split=options.split,
        external=options.external,
        allow=",".join(options.allow),
        force=options.force,
        timeout=options.timeout,
    )
    print(describe_run(run_chain(request)))
    return 0


def audit_data(options: argparse.Namespace) -> int:
    """Print the findings in a data set and return 1 if there are errors among them."""
    from helpers.audit.examination import describe_audit, recall
    from helpers.data.sources import find_data

    _, audit = recall(find_data(options.source))
    print(describe_audit(audit))
    return int(any(found["level"] == "error" for found in audit["findings"]))


def predict_xrays(options: argparse.Namespace) -> int:
    """Draw the lungs of X-rays and return 1 if one of them could not be decoded."""
    from helpers.predict.inputs import find_xrays
    from helpers.storage.folders import SEGMENTER, find_trained

    run = find_trained(options.run)
    files = find_xrays(options.paths)
    folder = options.out or run / "predictions"
    # Only now, since Keras takes seconds to import and a misspelt path should not wait for it.
    from helpers.predict.novelty import read_likeness
    from helpers.predict.prediction import describe_predictions, load_networks, predict_files

    likeness = read_likeness((run / SEGMENTER).parent)
    table = predict_files(load_networks(run), files, folder, likeness)
    print(describe_predictions(table, folder, likeness))
    return int(table["lung_fraction"].isna().any())


def export_networks(options: argparse.Namespace) -> int:
    """Write a run's networks as ONNX and LiteRT files, and print how they agree with Keras."""
    from helpers.storage.folders import find_trained

    run = find_trained(options.run)
    # Only now, since Keras takes seconds to import and a misspelt run should not wait for it.
    from helpers.predict.export import describe_export, export_run

    print(describe_export(export_run(run, options.data), run))
    return 0


def look_after_cache(options: argparse.Namespace) -> int:
    """Print what the cache holds, or empty it and return 1 if something had to stay."""
    from helpers.run.cache import clear_cache, describe_cache, describe_cleared

    if not options.clear:
        print(describe_cache())
        return 0
    removed, stayed = clear_cache()
    print(describe_cleared(removed, stayed))
    return int(bool(stayed))


@contextmanager
def _ended_alike() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: by KeyboardInterrupt, which ends its kernel."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status.

    0 if all succeeded, 1 if not, 2 if misused, 130 if interrupted, 141 if nobody reads its output.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")  # a console may lack × or →
    given = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(given)
    try:
        with _ended_alike():
            status = options.act(options)
            sys.stdout.flush()  # here, where a reader that has gone is noticed
            return status
    except BrokenPipeError:
        # `| head` has read enough; Python must not complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    except CovidLungsError as error:
        print(f"covid-lungs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # What --force forgot is forgotten: with it, the finished part would be run once more.
        again = shlex.join(["covid-lungs", *(word for word in given if word != "--force")])
        print(f"covid-lungs: stopped. To go on: {again}", file=sys.stderr)
        return INTERRUPTED
