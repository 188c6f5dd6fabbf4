"""Examination: one audit from scan to verdict, cached until a file, code or library changes."""

import hashlib
import json

import pandas as pd

from helpers.audit import findings
from helpers.audit.duplicates import find_copies, join_pairs
from helpers.audit.findings import ERRORS, LEVELS, list_findings
from helpers.audit.mask_shapes import tell_conventions
from helpers.audit.metadata import about_sources, name_sources, read_metadata, source_table
from helpers.audit.pairs import pair_files
from helpers.audit.scan import Scan, scan
from helpers.data.listing import Listing, describe_files
from helpers.data.sources import DataSet
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import caching
from helpers.storage.folders import cache_root
from helpers.storage.versions import code_version

NUMBERS = ("width", "height", "mask_width", "mask_height")
# What the index keeps of the usable pairs.
INDEX_COLUMNS = [
    *("file", "class", "mask", *NUMBERS),
    *("pixels", "mask_pixels", "source", "copy_of"),
    *("infection_mask", "infection_pixels", "published_split", "patient"),
]
# Findings that stop a run, unless they are allowed by name.
STOPS = ("class_without_xrays", "mostly_unusable")


def recall(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
    """Return what `examine` finds in a data set, from the cache where it holds that.

    Raises:
        CovidLungsError: what `examine` raises, or the cache cannot be written.
    """
    made_by = code_version(__name__, examine.__module__)
    path = cache_root() / "audits" / f"{_identity(data_set)}-{made_by}"
    if not path.is_file():
        pairs, audit = examine(data_set)
        found = {"pairs": pairs.to_dict("list"), "audit": audit}
        with caching(path) as partial:
            partial.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    return pd.DataFrame(kept["pairs"]).astype(dict.fromkeys(NUMBERS, int)), kept["audit"]


def _identity(data_set: DataSet) -> str:
    """Return a name that changes with the data set's own and with any file's size or time."""
    digest = hashlib.sha256(repr(data_set).encode(errors="surrogateescape"))
    for line in sorted(describe_files(data_set.folder)):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def examine(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
    """Decode every file of a data set once; return its usable pairs and the audit.

    The pairs have the columns `INDEX_COLUMNS` and are sorted by `file`; `source` is "" where the
    metadata do not name it, and `copy_of` the first of the copies of an X-ray. The audit is what
    `audit.json` holds.

    Raises:
        CovidLungsError: a folder cannot be listed, or a file has a name that no table can hold.
    """
    scanned = scan(data_set)
    listing = scanned.listing
    pairs, left_out = pair_files(scanned.files, listing.has_masks)
    pairs, near = _mark_copies(scanned, pairs)
    pairs, conflicts = _drop_conflicts(pairs)
    left_out = pd.concat([left_out, conflicts, _list_unused(listing)])
    left_out = left_out.sort_values("file", ignore_index=True)
    sources, unreadable = read_metadata(data_set.root, list(listing.spellings))
    pairs["source"], unknown = name_sources(sources, pairs)
    conventions = tell_conventions(pairs)
    found = [
        *findings.about_use(scanned, pairs, left_out),
        *findings.about_names(scanned),
        *findings.about_pairs(pairs, near),
        *findings.about_published(data_set, scanned),
        *about_sources(pairs),
        findings.about_conventions(conventions),
        unreadable,
        unknown,
    ]
    counts = pairs["class"].value_counts()
    listed = list_findings(found)
    audit = {
        "data": {"name": data_set.name, "synthetic": data_set.synthetic},
        "layout": f"{listing.layout.name} ({listing.layout.form})",
        "verdict": _judge(pairs, left_out, listed),
        "counts": {name: int(counts.get(name, 0)) for name in listing.spellings},
        "findings": listed,
        "left_out": [
            {**row, "remedy": ERRORS[row["finding"]][1]} for row in left_out.to_dict("records")
        ],
        "sources": source_table(pairs).to_dict("index"),
        "mask_conventions": conventions,
    }
    return pairs[INDEX_COLUMNS], audit


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


def _list_unused(listing: Listing) -> pd.DataFrame:
    """Return the pictures that the layout has no place for, as left-out files."""
    fault = f"not where X-rays or masks are in the layout {listing.layout.name}"
    unused = {"file": listing.unused, "class": "", "finding": "unused_picture", "fault": fault}
    return pd.DataFrame(unused, dtype=str)


def _judge(pairs: pd.DataFrame, left_out: pd.DataFrame, listed: list[dict]) -> str:
    """Return the verdict in one line."""
    number = {level: sum(found["level"] == level for found in listed) for level in LEVELS}
    kinds = ", ".join(_count(number[level], level) for level in LEVELS)
    classes = _count(pairs["class"].nunique(), "class")
    usable = f"{_count(len(pairs), 'X-ray')} in {classes} ({kinds})"
    if any(found["name"] in STOPS for found in listed):
        return f"Not usable as it is, with only {usable}."
    if number["error"]:
        return f"Usable, with {_count(len(left_out), 'file')} left out: {usable}."
    return f"Usable: {usable}."


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def findings_html(audit: dict) -> str:
    """Return the findings as a table for a notebook, its texts whole and escaped.

    On a page too narrow for all columns the table scrolls.
    """
    rows = [
        (found["level"], f"{found['count']:,}", found["text"], _examples(found), found["remedy"])
        for found in audit["findings"]
    ]
    columns = ["level", "how many", "what", "examples", "what to do"]
    return f'<div style="overflow-x: auto">{as_html(pd.DataFrame(rows, columns=columns))}</div>'


def as_html(table: pd.DataFrame) -> str:
    """Return a table without its index as HTML, its texts whole, escaped and to the left."""
    html = table.to_html(index=False, border=0, justify="left")
    return html.replace("<td>", '<td style="text-align: left">')


def _examples(found: dict) -> str:
    """Return a finding's examples in a line."""
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
    """Return the names in a text that separates them by commas; refuse others than STOPS."""
    names = {name.strip() for name in allow.split(",")} - {""}
    for name in sorted(names - set(STOPS)):
        raise CovidLungsError(f"allow {name!r}: choose from {', '.join(STOPS)}.")
    return names


def refuse_unusable(audit: dict, allow: str) -> None:
    """Stop at a data set that cannot be used, unless `allow` names what is wrong with it.

    Raises:
        CovidLungsError: no X-ray is usable, a stop is not allowed, or `allow` names none.
    """
    allowed, name, classes = check_allowed(allow), audit["data"]["name"], list(audit["counts"])
    if not any(audit["counts"].values()):
        raise CovidLungsError(f"{name}: no X-ray can be used. {_first_fault(audit, classes)}")
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
