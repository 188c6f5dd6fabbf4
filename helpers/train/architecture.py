"""Architecture: the stages of a network, and how many pixels each of its layers sees."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pandas as pd

from helpers.train.backend import keras

layers = keras.layers
ENLARGING = (layers.Conv2DTranspose, layers.UpSampling2D)


@dataclass
class Stage:
    """Neighbouring operations of a network at one size.

    Attributes:
        level: 0 at the top, one more after each shrinking, one less after each enlargement.
        shape: height, width and number of features at its end.
        operations: in order; the first one makes the features of an earlier stage this one's.
        joined: the earlier stages, by number, whose features are joined with this one's.
    """

    level: int
    shape: tuple[int, ...]
    operations: list[keras.Operation] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)

    @property
    def convolutions(self) -> list[keras.Operation]:
        """Its convolutions, but for a transposed one."""
        return [operation for operation in self.operations if is_convolution(operation)]

    @property
    def enlarges(self) -> bool:
        """Whether it begins with an enlargement."""
        return any(isinstance(operation, ENLARGING) for operation in self.operations[:1])


def find_stages(model: keras.Model) -> list[Stage]:
    """Return the stages of a network, as long as its features have places, in their order.

    The first is the input. The last convolution of a network whose output has places is a stage
    of its own, unless it is the only one there.
    """
    model = unwrap(model)
    connections = list(_walk(model))
    convolutions = [operation for operation, _ in connections if is_convolution(operation)]
    last = convolutions[-1:] if len(model.output_shape) == 4 else []
    stages, stage_of = [Stage(0, tuple(model.input_shape[1:]))], {}
    for operation, makers in connections:
        if len(operation.output.shape) != 4:
            continue
        sources = {stage_of.get(id(maker), 0) for maker in makers}
        number = max(sources, default=0)
        level = _find_level(operation, stages[number].level, first=number == 0)
        first = number == 0 and is_convolution(operation)
        ends = operation in last and stages[number].convolutions
        if level != stages[number].level or first or ends:
            stages.append(Stage(level, ()))
            number = len(stages) - 1
        else:
            stages[number].joined += sorted(sources - {number})
        stages[number].operations.append(operation)
        stages[number].shape = tuple(operation.output.shape[1:])
        stage_of[id(operation)] = number
    return stages


def _find_level(operation: keras.Operation, level: int, first: bool) -> int:
    """Return the level of an operation's output; a shrinking of the input itself is no step."""
    if isinstance(operation, ENLARGING):
        return level - 1
    return level + (find_window(operation)[1] > 1 and not first)


def find_window(operation: keras.Operation) -> tuple[int, int]:
    """Return how many values a side a convolution or pooling looks at, and its stride.

    For any other operation these are 1 and 1.
    """
    if hasattr(operation, "pool_size"):
        return operation.pool_size[0], operation.strides[0]
    if not is_convolution(operation):
        return 1, 1
    return (operation.kernel_size[0] - 1) * operation.dilation_rate[0] + 1, operation.strides[0]


def find_enlarging(operation: keras.Operation) -> int:
    """Return how many times as high and wide an operation makes the features, 1 for most."""
    if not isinstance(operation, ENLARGING):
        return 1
    return operation.strides[0] if hasattr(operation, "strides") else operation.size[0]


def is_convolution(operation: keras.Operation) -> bool:
    """Return whether an operation is a convolution that does not enlarge."""
    return hasattr(operation, "kernel_size") and not isinstance(operation, ENLARGING)


def unwrap(model: keras.Model) -> keras.Model:
    """Return the network within one that looks twice, or the network itself."""
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    same = [one for one in inner if one.output_shape == model.output_shape]
    return same[0] if same else model


def _walk(model: keras.Model) -> Iterator[tuple[keras.Operation, list[keras.Operation]]]:
    """Yield the operations of a network, each with those whose results it takes."""
    if isinstance(model, keras.Sequential):  # whose layers' inputs and outputs are other objects
        yield from ((after, [before]) for before, after in pairwise([None, *model.layers]))
        return
    makers = {id(operation.output): operation for operation in model.operations}
    for operation in model.operations:
        if not isinstance(operation, layers.InputLayer):
            taken = operation.input if isinstance(operation.input, list) else [operation.input]
            yield operation, [makers[id(tensor)] for tensor in taken if id(tensor) in makers]


def find_way_down(model: keras.Model) -> list[Stage]:
    """Return the stages of a network before it first enlarges: all of a CNN's."""
    stages = find_stages(model)
    ends = next((number for number, stage in enumerate(stages) if stage.enlarges), len(stages))
    return stages[1:ends]


def name_levels(model: keras.Model) -> list[str]:
    """Return the name of each stage of the way down: "level 1", ..., and of a U-Net's "bottom"."""
    down = find_way_down(model)
    names = [f"level {stage.level + 1}" for stage in down]
    if any(stage.enlarges for stage in find_stages(model)):
        names[-1] = "bottom"
    return names


def receptive_fields(model: keras.Model) -> pd.DataFrame:
    """Return the receptive field of each convolution and pooling on a network's way down.

    A window of k values is wider than one value by k - 1 times the distance of the values in the
    X-ray; a stride multiplies that distance for all layers that follow (Araujo et al. 2019).

    Returns:
        a row a layer: its `level`, what the `layer` is, `pixels` a side of its receptive field.
    """
    rows, side, distance = [], 1, 1
    for name, stage in zip(name_levels(model), find_way_down(model), strict=True):
        for operation in stage.operations:
            width, stride = find_window(operation)
            if hasattr(operation, "strides"):
                kind = "pooling" if hasattr(operation, "pool_size") else "convolution"
                side += (width - 1) * distance
                distance *= stride
                rows.append((name, f"{kind} {width} × {width}", side))
    return pd.DataFrame(rows, columns=["level", "layer", "pixels"])
