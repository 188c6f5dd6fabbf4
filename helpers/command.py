"""The command line: `covid-lungs run`, `covid-lungs audit` and `covid-lungs predict`."""

import argparse
import sys
from io import TextIOWrapper
from pathlib import Path

from helpers.errors import CovidLungsError


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


def run_notebooks(options: argparse.Namespace) -> int:
    """Run the chain, print its figures and return the exit status."""
    # Here, since papermill takes a second to import and --help should not wait for it.
    from helpers.chain import run_chain
    from helpers.results import describe_run

    folder = run_chain(
        data=options.data,
        recipe=options.recipe,
        run=options.run,
        given=dict(options.parameters),
        only=options.only,
        start=options.start,
        groups=options.groups,
        allow=",".join(options.allow),
    )
    print(describe_run(folder))
    return 0


def audit_data(options: argparse.Namespace) -> int:
    """Print the findings in a data set and return 1 if there are errors among them."""
    from helpers.audit import describe_audit, examine
    from helpers.data_sets import find_data
    from helpers.recall import recall

    _, audit = recall(find_data(options.source), examine)
    print(describe_audit(audit))
    return int(any(found["level"] == "error" for found in audit["findings"]))


def predict_xrays(options: argparse.Namespace) -> int:
    """Draw the lungs of X-rays and return 1 if one of them could not be decoded."""
    from helpers.folders import find_trained
    from helpers.inputs import find_xrays

    run = find_trained(options.run)
    files = find_xrays(options.paths)
    folder = options.out or run / "predictions"
    # Only now, since Keras takes seconds to import and a misspelt path should not wait for it.
    from helpers.prediction import describe_predictions, load_networks, predict_files

    table = predict_files(load_networks(run), files, folder)
    print(describe_predictions(table, folder))
    return int(table["lung_fraction"].isna().any())


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 if all succeeded, 1 if not, 2 if misused."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")  # a console may lack × or →
    options = build_parser().parse_args(arguments)
    try:
        return options.act(options)
    except CovidLungsError as error:
        print(f"covid-lungs: {error}", file=sys.stderr)
        return 1
