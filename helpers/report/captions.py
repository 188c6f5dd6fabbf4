"""Captions: the title and the alternative text of each figure of a run."""

# Figures that explain a method and show no result of the run.
LESSONS = {"03_filters", "04_augmentation"}
# In the order of the report: each figure's title, and its text for readers who cannot see it.
# The numbers are in tables.
CAPTIONS = {
    "01_counts": (
        "X-rays of each class",
        "Bar chart with one bar per class. The numbers are in the table of the splits.",
    ),
    "01_sources": (
        "X-rays by source and class",
        "Table drawn as a picture: one row per source, one column per class, and the number of "
        "X-rays in each cell. A source with only one class could give that class away.",
    ),
    "01_xrays": ("X-rays of each class", "Grid of chest X-rays, several of each class."),
    "01_masks": (
        "X-rays and their masks",
        "Three rows of images: chest X-rays, their lung masks in white on black, and the "
        "outlines of the masks on the X-rays.",
    ),
    "01_copies": (
        "Copies among the X-rays",
        "Pairs of chest X-rays that show the same exposure, one above the other.",
    ),
    "02_split": (
        "How each class is divided",
        "Stacked bars, one per class, divided into training, validation and test. The "
        "numbers are in the table above.",
    ),
    "02_xrays": (
        "X-rays of each split",
        "Grid of chest X-rays, one row per split, with several classes in each.",
    ),
    "02_leaks": (
        "What a careless split would have leaked",
        "Two rows of chest X-rays: at the top, X-rays that a shuffled split would have tested on; "
        "below them, their copies in its training split.",
    ),
    "03_detection": (
        "ROC and precision-recall curves",
        "Two line charts for the test split, with marks at the usual and at the chosen threshold. "
        "The areas under the curves are in the table above.",
    ),
    "03_confusion": (
        "Predictions for each class",
        "Two tables drawn as pictures: one row per true class, with the number of its test X-rays "
        "that the network calls COVID or not, at the usual and at the chosen threshold.",
    ),
    "03_probabilities": (
        "Predicted probability of COVID for each X-ray",
        "One row of dots per class, one dot per test X-ray, from 0 (not COVID) on the left to 1 "
        "(COVID) on the right, with a bar at the median of the class.",
    ),
    "03_reliability": (
        "Calibration",
        "Two charts of the share of COVID among X-rays of similar predicted probability, before "
        "and after temperature scaling. The diagonal is perfect calibration.",
    ),
    "03_most_wrong": (
        "The detector's worst errors",
        "Chest X-rays of the test split, each with its class and the detector's prediction.",
    ),
    "03_heat": (
        "Where the detector looks",
        "Chest X-rays with colour on the places that most raised the probability of COVID "
        "(Grad-CAM).",
    ),
    "03_curves": (
        "Learning curves of the detector",
        "Line charts of loss and accuracy by epoch, for training and validation. A dotted line "
        "marks the epoch that was kept.",
    ),
    "04_curves": (
        "Learning curves of the U-Net",
        "Line charts of loss, Dice and IoU by epoch, for training and validation. A dotted line "
        "marks the epoch that was kept.",
    ),
    "04_predictions": (
        "Masks on the validation split",
        "For each class a chest X-ray, its true and its predicted lung mask, and both outlines on "
        "the X-ray.",
    ),
    "04_probability": (
        "How confident the U-Net is",
        "A chest X-ray beside a map of the predicted probability of lung: confident within the "
        "lungs, less so along their edges.",
    ),
    "05_dice": (
        "Dice coefficient of each X-ray",
        "One row of dots per class, one dot per test X-ray, with a bar at the median of the class.",
    ),
    "05_best": (
        "The best masks",
        "The test X-rays with the highest Dice, each with the true outline in green and the "
        "predicted one in orange.",
    ),
    "05_median": (
        "Masks around the median",
        "Test X-rays near the median Dice, each with the true outline in green and the "
        "predicted one in orange.",
    ),
    "05_worst": (
        "The worst masks",
        "The test X-rays with the lowest Dice, each with the true outline in green, the "
        "predicted one in orange, and the likely reason.",
    ),
    "06_views": (
        "Five views of the same X-rays",
        "Grid of chest X-rays, one row per view: whole, lungs only, lungs removed, border only, "
        "and the shape of the mask.",
    ),
    "06_aurocs": (
        "How well each view predicts COVID",
        "For each view a dot at its AUROC, with its interval as a bar, and a dotted line at "
        "guessing. The numbers are in the table above.",
    ),
}


def caption(name: str) -> tuple[str, str]:
    """Return a figure's title and its alternative text; an unknown figure gets its name."""
    title = name.partition("_")[2].replace("_", " ") or name
    return CAPTIONS.get(name, (title, f"Picture of this run: {title}"))


def place(name: str) -> tuple[str, int, str]:
    """Return a figure's sort key; unknown figures come last within their notebook."""
    known = list(CAPTIONS)
    return name[:2], known.index(name) if name in known else len(known), name
