"""Captions: what each figure of a run shows, for those who see it and those who do not."""

# Of figures that explain a method, and say nothing about the run.
LESSONS = {"03_filters", "04_augmentation"}
# In the order to be shown: a figure's title, and what a reader who cannot see it should know.
# The numbers are in tables.
CAPTIONS = {
    "01_counts": (
        "X-rays of each class",
        "Bar chart with a bar for each class. Its numbers are in the table of the splits.",
    ),
    "01_sources": (
        "X-rays by source and class",
        "Table drawn as a picture: a row for each source, a column for each class, in each cell "
        "the number of X-rays. A source of one class only could tell that class.",
    ),
    "01_xrays": ("X-rays of each class", "Chest X-rays in a grid, several of each class."),
    "01_masks": (
        "X-rays and their masks",
        "Three rows of pictures: chest X-rays, their lung masks in white on black, and the "
        "outlines of the masks on the X-rays.",
    ),
    "01_copies": (
        "Copies among the X-rays",
        "Pairs of chest X-rays that show the same exposure, one above the other.",
    ),
    "02_split": (
        "How each class is divided",
        "Stacked bars, one for each class, divided into training, validation and test. The "
        "numbers are in the table above.",
    ),
    "02_xrays": (
        "X-rays of each split",
        "Chest X-rays in a grid, a row for each split, several classes in each.",
    ),
    "02_leaks": (
        "What a careless split would have leaked",
        "Chest X-rays in two rows: above those that a shuffled split would have tested on, below "
        "their copies that it would have trained on.",
    ),
    "03_detection": (
        "ROC and precision-recall curve",
        "Two line charts of the test split, with marks at the usual and at the chosen threshold. "
        "The areas below the curves are in the table above.",
    ),
    "03_confusion": (
        "What X-rays of each class are called",
        "Two tables drawn as pictures: a row for each true class, and how many of its test X-rays "
        "the network calls COVID or not, at the usual and at the chosen threshold.",
    ),
    "03_probabilities": (
        "Probability of COVID, X-ray by X-ray",
        "A row of dots for each class, one dot a test X-ray, from left (surely not COVID) to "
        "right (surely COVID), with a bar at the class's median.",
    ),
    "03_reliability": (
        "Calibration",
        "Two charts of the share of COVID among X-rays of like probability, before and after "
        "temperature scaling; perfect calibration is the diagonal.",
    ),
    "03_most_wrong": (
        "About which the detector was most wrong",
        "Chest X-rays of the test split, each with its class and the detector's answer.",
    ),
    "03_heat": (
        "Where the detector looks",
        "Chest X-rays with patches of colour where the picture spoke most for COVID (Grad-CAM).",
    ),
    "03_curves": (
        "Learning curves of the detector",
        "Line charts of loss and accuracy by epoch, for training and validation, with a dotted "
        "line at the epoch that was kept.",
    ),
    "04_curves": (
        "Learning curves of the U-Net",
        "Line charts of loss, Dice and IoU by epoch, for training and validation, with a dotted "
        "line at the epoch that was kept.",
    ),
    "04_predictions": (
        "Masks on the validation split",
        "For each class a chest X-ray, its true and its predicted lung mask, and both outlines on "
        "the X-ray.",
    ),
    "04_probability": (
        "How sure the U-Net is",
        "A chest X-ray beside a map of the probability of lung: sure within the lungs, unsure "
        "along their edges.",
    ),
    "05_dice": (
        "Dice coefficient, X-ray by X-ray",
        "A row of dots for each class, one dot a test X-ray, with a bar at the class's median.",
    ),
    "05_best": (
        "The best masks",
        "The test X-rays with the highest Dice, each with the true outline in green and the "
        "predicted one in orange.",
    ),
    "05_median": (
        "Masks in the middle",
        "Test X-rays of median Dice, each with the true outline in green and the predicted one "
        "in orange.",
    ),
    "05_worst": (
        "The worst masks",
        "The test X-rays with the lowest Dice, each with the true outline in green, the "
        "predicted one in orange, and the likely reason.",
    ),
    "06_views": (
        "Five views of the same X-rays",
        "Chest X-rays in a grid, a row for each view: whole, lungs only, lungs removed, border "
        "only, and the masks' shape.",
    ),
    "06_aurocs": (
        "What each view gives away",
        "For each view a dot at its AUROC with its interval as a bar, and a dotted line where "
        "guessing would be. The numbers are in the table above.",
    ),
}


def caption(name: str) -> tuple[str, str]:
    """Return a figure's title and its alternative text; of an unknown one its name."""
    title = name.partition("_")[2].replace("_", " ") or name
    return CAPTIONS.get(name, (title, f"Picture of this run: {title}"))


def place(name: str) -> tuple[str, int, str]:
    """Return where a figure stands among others: unknown ones last of their notebook."""
    known = list(CAPTIONS)
    return name[:2], known.index(name) if name in known else len(known), name
