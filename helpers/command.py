"""The command line: `covid-lungs run`."""

import argparse
import sys

from helpers.errors import CovidLungsError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="covid-lungs",
        description="Detect COVID-19 in chest X-rays and segment the lungs. Not a medical device.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the notebooks in order")
    run.add_argument("--data", default="demo", metavar="SOURCE", help="demo, kaggle, folder, .zip")
    run.add_argument("--recipe", default="demo", metavar="NAME", help="demo or original")
    run.add_argument("--run", metavar="NAME_OR_FOLDER", help="where the results go")
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
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 if all succeeded, 1 if not, 2 if misused."""
    options = build_parser().parse_args(arguments)
    # Here, since papermill takes a second to import and --help should not wait for it.
    from helpers.chain import run_chain
    from helpers.results import describe_run

    try:
        folder = run_chain(
            data=options.data,
            recipe=options.recipe,
            run=options.run,
            given=dict(options.parameters),
            only=options.only,
            start=options.start,
        )
        print(describe_run(folder))
    except CovidLungsError as error:
        print(f"covid-lungs: {error}", file=sys.stderr)
        return 1
    return 0
