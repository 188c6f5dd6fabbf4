"""Summary: what a terminal says of a prediction that has ended."""

from pathlib import Path

import numpy as np
import pandas as pd

from helpers.predict.files import TABLE, find_ending, list_parts
from helpers.predict.networks import Networks
from helpers.storage.folders import shown

FEW = 20  # X-rays that a terminal lists one by one
NO_DETECTOR = (
    "For a probability of COVID, train on X-rays with and without it "
    "(covid-lungs run --data SOURCE), then name that run with --run."
)
PACKAGE_LUNGS = "The run has no lung network: the one inside the package drew the lungs."


def describe_predictions(
    table: pd.DataFrame, folder: Path, networks: Networks, run_folder: Path | None
) -> str:
    """Return for a terminal what was predicted, and where it is; few X-rays one by one."""
    undecodable = int(table["lung_fraction"].isna().sum())
    refused = int((~table["accepted"]).sum()) - undecodable
    doubtful = int((table["accepted"] & (table["reason"] != "")).sum())
    decoded = table[table["lung_fraction"].notna()] if len(table) <= FEW else table[:0]
    lines = [_describe_xray(row) for row in decoded.to_dict("records")]
    lines += [
        f"masks: {len(table) - undecodable:,} (not accepted: {refused:,}, doubtful: {doubtful:,})",
        f"files that could not be decoded: {undecodable:,}",
    ]
    parts = list_parts(networks.infection is not None)
    made = ", ".join(f"{name}/*.{find_ending(name)}" for name in parts)
    lines.append(f"Made in {shown(folder)}: {made}, {TABLE} (with the reasons)")
    if run_folder is None:
        lines.append(NO_DETECTOR)
    elif networks.has_package_lungs:
        lines.append(PACKAGE_LUNGS)
    return "\n".join([*lines, "", "Not a medical device."])


def _describe_xray(row: dict) -> str:
    """Return a line about an X-ray that could be decoded."""
    covid = row["covid_probability"]
    found = "" if np.isnan(covid) else f"COVID probability {covid:.3f}, "
    infected = row["infected_share"]
    share = "" if np.isnan(infected) else f", infection {infected:.1%} of the lungs"
    judged = "doubtful" if row["accepted"] else "not accepted"
    doubt = f"; {judged}: {row['reason']}" if row["reason"] else ""
    return f"{row['file']}: {found}lungs {row['lung_fraction']:.1%} of the image{share}{doubt}"
