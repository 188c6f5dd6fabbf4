"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

from helpers.report.remarks.data_sets import remark_on_classes, remark_on_copies, remark_on_sources
from helpers.report.remarks.detection import (
    remark_on_accuracy,
    remark_on_calibration,
    remark_on_decision,
    remark_on_ranking,
    remark_on_surest,
)
from helpers.report.remarks.heat_maps import (
    remark_on_agreement,
    remark_on_averaging,
    remark_on_heat,
    remark_on_heat_by_class,
)
from helpers.report.remarks.infection import (
    remark_on_finding,
    remark_on_infected_pixels,
    remark_on_invented,
    remark_on_map,
    remark_on_severity,
)
from helpers.report.remarks.learning import remark_on_curves, remark_on_majority
from helpers.report.remarks.masks import (
    remark_on_certainty,
    remark_on_masks_by_class,
    remark_on_outlines,
    remark_on_soft_errors,
    remark_on_tail,
    remark_on_thresholds,
)
from helpers.report.remarks.printing import say
from helpers.report.remarks.splits import remark_on_leaks, remark_on_shares, remark_on_split
from helpers.report.remarks.views import remark_on_views

__all__ = [
    "remark_on_accuracy",
    "remark_on_agreement",
    "remark_on_averaging",
    "remark_on_calibration",
    "remark_on_certainty",
    "remark_on_classes",
    "remark_on_copies",
    "remark_on_curves",
    "remark_on_decision",
    "remark_on_finding",
    "remark_on_heat",
    "remark_on_heat_by_class",
    "remark_on_infected_pixels",
    "remark_on_invented",
    "remark_on_leaks",
    "remark_on_majority",
    "remark_on_map",
    "remark_on_masks_by_class",
    "remark_on_outlines",
    "remark_on_ranking",
    "remark_on_severity",
    "remark_on_shares",
    "remark_on_soft_errors",
    "remark_on_sources",
    "remark_on_split",
    "remark_on_surest",
    "remark_on_tail",
    "remark_on_thresholds",
    "remark_on_views",
    "say",
]
