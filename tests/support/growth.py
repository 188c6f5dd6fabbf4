"""Growth: how what a step takes grows with the X-rays, and what it would need of many more."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t

SIZES = (21_165, 100_000, 1_000_000, 100_000_000)  # X-rays whose needs are calculated
DAY = 24  # hours
FEWEST, MOST = 1e3, 1e12  # X-rays between which the end of a machine is looked for
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}  # bytes


class Machine(NamedTuple):
    """What a machine has; memory and disk in bytes."""

    cores: int = 16
    memory: float = 64e9
    disk: float = 2e12


class Measured(NamedTuple):
    """What a step took: seconds, those of all cores together, and bytes."""

    seconds: float
    cpu: float
    start: float  # memory
    memory: float  # above that
    disk: float


@dataclass(frozen=True)
class Growth:
    """A quantity as a polynomial of the X-rays: `fixed`, for `each` one, and for each `square`."""

    fixed: float
    each: float
    square: float = 0

    def at(self, count: float) -> float:
        """Return the quantity at a number of X-rays."""
        return self.fixed + self.each * count + self.square * count**2


class Trait(NamedTuple):
    """What is known of a step before it is measured.

    Attributes:
        power: of the X-rays with which it grows in the end, 1 or 2.
        times: how often it is done with the X-rays, such as the epochs of a training.
        share: of the X-rays that it is done with, such as the training split.
    """

    power: int = 1
    times: int = 1
    share: float = 1


class Step(NamedTuple):
    """What a step needs: seconds of one core, bytes of memory, bytes on disk."""

    cpu: Growth
    memory: Growth
    disk: Growth
    trait: Trait = Trait()


class Need(NamedTuple):
    """What a step needs at a number of X-rays; `machines` to end within a day; what is scarce."""

    core_hours: float
    hours: float
    memory: float
    disk: float
    machines: int
    scarce: str


def fit_growth(counts: list[int], values: list[float], power: int = 1) -> Growth:
    """Return the polynomial of degree `power`, 1 or 2, without negative parts, nearest to values.

    Nearest by the squares of the relative differences, so that each size counts alike.
    """
    if not all(values):
        return Growth(0, 0)
    largest = max(counts)  # counts from 0 to 1, so that no part is tiny beside another
    x, y = np.array(counts) / largest, np.array(values, float)
    parts = np.stack([x**degree for degree in range(power + 1)], axis=1)
    found, _ = nnls(parts / y[:, None], np.ones(len(y)))
    return Growth(*(float(part) / largest**degree for degree, part in enumerate(found)))


def fit_exponent(counts: list[int], values: list[float]) -> tuple[float, float]:
    """Return the exponent of the power of the X-rays nearest to values, and its 95 % half-width.

    By least squares of logarithms; the half-width is Student's, NaN for two values.
    """
    x, y = np.log(counts), np.log(values)
    slope, start = np.polyfit(x, y, 1)
    freedom = len(x) - 2
    if not freedom:
        return float(slope), float("nan")
    variance = np.sum((y - slope * x - start) ** 2) / freedom / np.sum((x - x.mean()) ** 2)
    return float(slope), float(t.ppf(0.975, freedom) * np.sqrt(variance))


def fit_step(took: dict[int, Measured], trait: Trait) -> Step:
    """Return what a step needs as a function of the X-rays, by what it took of some numbers."""
    counts, rows = list(took), list(took.values())
    columns = (
        [one.cpu for one in rows],
        [one.start + one.memory for one in rows],
        [one.disk for one in rows],
    )
    return Step(*(fit_growth(counts, values, trait.power) for values in columns), trait)


def find_need(step: Step, count: float, machine: Machine) -> Need:
    """Return what a step needs at a number of X-rays, on machines of a kind.

    Core hours are the seconds of one core over 3,600; hours those of one machine whose cores are
    all busy; machines as many as end within a day. What one machine lacks most is scarce.
    """
    core_hours = step.trait.times * step.cpu.at(step.trait.share * count) / 3600
    hours = core_hours / machine.cores
    memory, disk = step.memory.at(count), step.disk.at(count)
    used = {"time": hours / DAY, "memory": memory / machine.memory, "disk": disk / machine.disk}
    scarce = max(used, key=used.get)
    machines = int(np.ceil(hours / DAY))
    return Need(core_hours, hours, memory, disk, machines, scarce if used[scarce] > 1 else "")


def find_end(step: Step, machine: Machine) -> tuple[float, str]:
    """Return about how many X-rays a machine can do in a day, and what it lacks beyond."""
    low, high = FEWEST, MOST
    while high / low > 1.001:
        middle = np.sqrt(low * high)
        low, high = (low, middle) if find_need(step, middle, machine).scarce else (middle, high)
    return low, find_need(step, high, machine).scarce


def print_growth(found: dict[str, dict[int, Measured]]) -> None:
    """Print how what each step took grows, as a table."""
    print(
        "\n| step | X-rays | CPU ms an X-ray | exponent of CPU | of memory | of disk | cores busy |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, took in found.items():
        counts, rows = list(took), list(took.values())
        exponents = (
            describe_exponent(counts, [getattr(one, kind) for one in rows])
            for kind in ("cpu", "memory", "disk")
        )
        busy = np.median([one.cpu / one.seconds for one in rows])
        print(
            f"| {name} | {counts[0]:,} to {counts[-1]:,} | {1000 * rows[-1].cpu / counts[-1]:.2f} "
            f"| {' | '.join(exponents)} | {busy:.1f} |"
        )


def describe_exponent(counts: list[int], values: list[float]) -> str:
    """Return an exponent with its 95 % half-width, or a dash if nothing was taken."""
    if not all(values):
        return "–"
    exponent, half_width = fit_exponent(counts, values)
    return f"{exponent:.2f} ± {half_width:.2f}"


def print_needs(steps: dict[str, Step], machine: Machine) -> None:
    """Print what more X-rays would need, and where one machine ends, as tables."""
    print(f"\nCalculated, for machines of {describe_machine(machine)}:\n")
    print("| step | X-rays | core hours | hours | machines for a day | memory | disk | scarce |")
    print("|---|---|---|---|---|---|---|---|")
    for name, step in steps.items():
        for count in SIZES:
            need = find_need(step, count, machine)
            hours = f"{round_off(need.core_hours)} | {round_off(need.hours)}"
            space = f"{describe_bytes(need.memory)} | {describe_bytes(need.disk)}"
            row = f"{name} | {count:,} | {hours} | {need.machines:,} | {space}"
            print(f"| {row} | {need.scarce or '–'} |")
    print("\n| step | one machine ends at | for lack of | squares take most of the time from |")
    print("|---|---|---|---|")
    for name, step in steps.items():
        count, scarce = find_end(step, machine)
        squares = round_off(find_turn(step.cpu)) if step.cpu.square else "–"
        print(f"| {name} | {round_off(count)} | {scarce} | {squares} |")


def find_turn(growth: Growth) -> float:
    """Return from which number of X-rays the squares are more than all other parts together."""
    _, turn = sorted(np.roots([growth.square, -growth.each, -growth.fixed]))
    return float(turn)


def describe_machine(machine: Machine) -> str:
    """Return what a machine has."""
    memory, disk = describe_bytes(machine.memory), describe_bytes(machine.disk)
    return f"{machine.cores} cores, {memory} of memory and {disk} of disk"


def round_off(value: float) -> str:
    """Return a number with two digits that count; below 0.01 only that it is."""
    return "< 0.01" if value < 0.01 else f"{float(f'{value:.1e}'):,.12g}"


def describe_bytes(value: float) -> str:
    """Return bytes with a unit, two digits that count, or a dash for none."""
    unit = max((unit for unit in UNITS if value >= UNITS[unit]), key=UNITS.get, default="kB")
    return f"{round_off(value / UNITS[unit])} {unit}" if value else "–"
