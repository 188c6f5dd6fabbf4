"""Audit: what is wrong with a data set, how bad that is, and what to do about it."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from helpers.audit import checks
from helpers.audit.duplicates import find_copies, join_pairs
from helpers.audit.findings import LEVELS, Finding
from helpers.audit.mask_shapes import tell_conventions
from helpers.audit.metadata import confounding_finding, match_metadata, read_metadata, source_table
from helpers.audit.pairs import pair_files
from helpers.audit.scan import Scan, scan
from helpers.data.layouts import POSITIVE_CLASS
from helpers.data.listing import Listing
from helpers.data.sources import DataSet
from helpers.storage.errors import CovidLungsError
from helpers.storage.tables import as_html

EXAMPLES = 3
# What the index keeps of the usable pairs.
INDEX_COLUMNS = [
    "file",
    "class",
    "mask",
    "width",
    "height",
    "mask_width",
    "mask_height",
    "pixels",
    "mask_pixels",
    "source",
    "copy_of",
    "infection_mask",
    "infection_pixels",
    "published_split",
    "patient",
]
# Findings that stop a run, unless they are allowed by name.
STOPS = ("class_without_xrays", "mostly_unusable")


def examine(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
    """Decode every file of a data set once; return its usable pairs and the audit.

    Returns:
        The columns `INDEX_COLUMNS` of the pairs, sorted by `file`: those of `pairs.pair_files`;
        `source`, where the metadata names it; and `copy_of`, the first of the copies of an X-ray.
        And what `audit.json` holds: `data`, its `layout`, `verdict`, `counts` per class,
        `findings`, `left_out` with the reason for each file, `sources` with counts per class, and
        `mask_conventions` per class.

    Raises:
        CovidLungsError: a folder cannot be listed, or a file has a name that no table can hold.
    """
    scanned = scan(data_set)
    listing = scanned.listing
    pairs, left_out = pair_files(scanned.files, listing.has_masks)
    with ThreadPoolExecutor() as pool:  # a workbook takes a second: read it beside other work
        metadata = pool.submit(read_metadata, data_set.root, list(listing.spellings))
        pairs, copied = _mark_copies(scanned, pairs)
    table, about_metadata = metadata.result()
    pairs, conflicts = _drop_conflicts(pairs)
    left_out = pd.concat([left_out, conflicts, _list_unused(data_set, listing)])
    left_out = left_out.sort_values("file", ignore_index=True)
    images = scanned.files[scanned.files["part"] == "images"]
    sources, about_rows = match_metadata(table, images)
    pairs["source"] = pairs["file"].map(dict(zip(images["file"], sources, strict=True)))
    conventions = tell_conventions(pairs)
    findings = [
        *_check_files(data_set, scanned, pairs, left_out),
        *checks.about_conventions(conventions),
        *checks.about_copies(pairs, copied),
        *about_metadata,
        *about_rows,
        *filter(None, [confounding_finding(pairs, POSITIVE_CLASS)]),
        *checks.about_published(data_set, scanned),
    ]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    audit = _summarise(data_set, listing, pairs, left_out, findings)
    return pairs[INDEX_COLUMNS], audit | {"mask_conventions": conventions}


def _check_files(
    data_set: DataSet, scanned: Scan, pairs: pd.DataFrame, left_out: pd.DataFrame
) -> list[Finding]:
    """Return what names, kinds, pixels and shapes of the files tell."""
    return [
        *checks.about_usability(scanned, pairs, left_out),
        *checks.about_classes(scanned.listing),
        *checks.about_files(scanned, data_set.idle),
        *checks.about_parts(pairs),
        *checks.about_colours(pairs),
        *checks.about_sizes(pairs),
        *checks.about_masks(pairs),
    ]


def _mark_copies(scanned: Scan, pairs: pd.DataFrame) -> tuple[pd.DataFrame, set[str]]:
    """Add `copy_of` to the pairs; return the files that are near-copies of another, too."""
    first = pairs.drop_duplicates("pixels")["file"].to_list()  # equal pixels need no comparison
    alike = find_copies([scanned.thumbnails[file] for file in first])
    near = [(first[one], first[other]) for one, other in alike]
    # The first is the smallest, since the pairs are sorted; pandas takes a second to find that.
    exact = zip(pairs["file"], pairs.groupby("pixels")["file"].transform("first"), strict=True)
    joined = join_pairs([*exact, *near])
    marked = pairs.assign(copy_of=pairs["file"].map(joined))
    return marked, {file for pair in near for file in pair}


def _drop_conflicts(pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs without copies that have several labels, and those as left-out files."""
    conflict = pairs.groupby("copy_of")["class"].transform("nunique") > 1
    copies = pairs[conflict]
    names = copies.groupby("copy_of")["class"].agg(lambda members: ", ".join(sorted(set(members))))
    faults = [f"has copies under several classes: {names[first]}" for first in copies["copy_of"]]
    left_out = copies[["file", "class"]].assign(finding="label_conflict", fault=faults)
    return pairs[~conflict].reset_index(drop=True), left_out


def _list_unused(data_set: DataSet, listing: Listing) -> pd.DataFrame:
    """Return the pictures that the layout has no place for, as left-out files."""
    files = [*listing.unused, *data_set.outside]
    fault = f"not where X-rays or masks are in the layout {listing.layout.name}"
    return pd.DataFrame(
        {"file": files, "class": "", "finding": "unused_picture", "fault": fault}, dtype=str
    )


def _summarise(
    data_set: DataSet,
    listing: Listing,
    pairs: pd.DataFrame,
    left_out: pd.DataFrame,
    findings: list[Finding],
) -> dict:
    """Return the audit; nothing in it depends on the machine."""
    counts = pairs["class"].value_counts()
    sources = source_table(pairs)
    return {
        "data": {"name": data_set.name, "synthetic": data_set.synthetic},
        "layout": f"{listing.layout.name} ({listing.layout.form})",
        "verdict": _judge(pairs, left_out, findings),
        "counts": {name: int(counts.get(name, 0)) for name in listing.spellings},
        "findings": [
            {
                "name": finding.name,
                "level": finding.level,
                "text": finding.text,
                "count": len(finding.files),
                "examples": [str(file) for file in finding.files[:EXAMPLES]],
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
        "left_out": [
            {**row, "remedy": checks.FAULTS[row["finding"]][1]}
            for row in left_out.to_dict("records")
        ],
        "sources": {
            str(name): {str(key): int(count) for key, count in row.items()}
            for name, row in sources.iterrows()
        },
    }


def _judge(pairs: pd.DataFrame, left_out: pd.DataFrame, findings: list[Finding]) -> str:
    """Return the verdict in one line."""
    number = {level: sum(f.level == level for f in findings) for level in LEVELS}
    kinds = ", ".join(_count(number[level], level, f"{level}s") for level in LEVELS)
    classes = _count(pairs["class"].nunique(), "class", "classes")
    usable = f"{_count(len(pairs), 'X-ray', 'X-rays')} in {classes} ({kinds})"
    if any(finding.name in STOPS for finding in findings):
        return f"Not usable as it is, with only {usable}."
    if number["error"]:
        return f"Usable, with {_count(len(left_out), 'file', 'files')} left out: {usable}."
    return f"Usable: {usable}."


def _count(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def findings_table(audit: dict) -> pd.DataFrame:
    """Return the findings as a table for people, the worst first."""
    rows = [
        (
            found["level"],
            f"{found['count']:,}",
            found["text"],
            _examples(found),
            found["remedy"],
        )
        for found in audit["findings"]
    ]
    return pd.DataFrame(rows, columns=["level", "how many", "what", "examples", "what to do"])


def findings_html(audit: dict) -> str:
    """Return the findings as a table for a notebook, its texts whole and escaped."""
    return as_html(findings_table(audit))


def _examples(found: dict) -> str:
    """Return a finding's examples in one line."""
    return ", ".join(found["examples"]) + ", …" * (found["count"] > len(found["examples"]))


def describe_audit(audit: dict) -> str:
    """Return verdict, layout and findings for a terminal."""
    lines = [f"{audit['data']['name']}: {audit['verdict']}", f"Layout: {audit['layout']}"]
    for found in audit["findings"]:
        lines += [
            "",
            f"{found['level']:>7} {found['count']:>7,}  {found['text']}",
            f"{'':17}{_examples(found)}",
            f"{'':17}→ {found['remedy']}",
        ]
    return "\n".join([*lines, ""])


def source_counts(audit: dict) -> pd.DataFrame:
    """Return the X-rays of each source (a row) and class (a column) that an audit counted."""
    return pd.DataFrame.from_dict(audit["sources"], orient="index")


def check_allowed(allow: str) -> set[str]:
    """Return the names in a text that separates them by commas.

    Raises:
        CovidLungsError: a name that is no finding which stops a run.
    """
    names = {name.strip() for name in allow.split(",")} - {""}
    for name in sorted(names - set(STOPS)):
        raise CovidLungsError(f"allow {name!r}: choose from {', '.join(STOPS)}.")
    return names


def refuse_unusable(audit: dict, allow: str) -> None:
    """Stop at a data set that cannot be used, unless what is wrong with it is allowed.

    Args:
        audit: what `examine` returned.
        allow: names of findings, separated by commas.

    Raises:
        CovidLungsError: no X-ray is usable, a stop is not allowed, or `allow` names none.
    """
    allowed, name = check_allowed(allow), audit["data"]["name"]
    classes = list(audit["counts"])
    if not any(audit["counts"].values()):
        fault = _first_fault(audit, classes)
        raise CovidLungsError(f"{name}: no X-ray can be used. {fault}")
    for found in audit["findings"]:
        if found["name"] in STOPS and found["name"] not in allowed:
            at_fault = found["examples"] if found["name"] == "class_without_xrays" else classes
            raise CovidLungsError(
                f"{name}: {found['count']:,} {found['text']} ({_examples(found)}). "
                f"{_first_fault(audit, at_fault)} To go on without them, allow {found['name']}."
            )


def _first_fault(audit: dict, classes: list[str]) -> str:
    """Return the first file left out of these classes, its fault and remedy, as an example."""
    for row in audit["left_out"]:
        if row["class"] in classes:
            return f"For example {row['file']}: {row['fault']}; {row['remedy']}."
    return "Restore the files, or remove the folders."
