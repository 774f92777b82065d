"""Training in mini-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgrad.errors import FastgradError, InputError
from fastgrad.nn.execution import BatchedRun, binder, examples
from fastgrad.nn.history import History
from fastgrad.nn.initialisers import generator_for
from fastgrad.nn.losses import Loss, Metric, check_targets
from fastgrad.nn.optimisers import LBFGS, Adam, Optimiser, rate_at
from fastgrad.nn.progress import progress_of
from fastgrad.nn.step import TARGET, gradient_tape, loss_tape, step_tape
from fastgrad.tape import Tape

if TYPE_CHECKING:
    from fastgrad.nn.network import Network

__all__ = ["DivergedError", "Evaluation", "MiniBatches", "fit"]

Floats = NDArray[np.float64]


class DivergedError(FastgradError, ArithmeticError):
    """The loss of a training step was not a finite number."""


class Evaluation:
    """The loss and metrics of a network's architecture over some examples, for parameters that are given."""

    def __init__(
        self, network: Network, x: ArrayLike, y: ArrayLike, loss: Loss, metrics: Sequence[Metric], batch_size: int = 256
    ) -> None:
        names = ["loss", *(getattr(metric, "__name__", "") for metric in metrics)]
        if "" in names or len(set(names)) != len(names):
            raise InputError(f"metrics need names of their own, by which they are found; these are called {names[1:]}.")
        self._network, self._metrics, self._batch_size = network, metrics, batch_size
        self._x, self._y, self.loss = checked(network, x, y, loss)
        self._losses = BatchedRun(self.loss, (0, 1))

    def __call__(self, parameters: Mapping[str, Floats]) -> dict[str, float]:
        predictions = self._network.run(self._x, parameters, self._batch_size)
        found = {"loss": float(np.mean(self._losses([predictions, self._y], self._batch_size)))}
        return found | {metric.__name__: float(metric(predictions, self._y)) for metric in self._metrics}


def checked(network: Network, x: ArrayLike, y: ArrayLike, loss: Loss) -> tuple[Floats, Floats, Tape]:
    """Examples and targets as float64, and the tape of the loss. Raises InputError where they do not fit."""
    inputs = examples(x, network.input_shape, "x")
    targets = examples(y, np.shape(y)[1:], "y")
    if len(inputs) != len(targets) or not len(inputs):
        raise InputError(f"x has {len(inputs)} examples and y {len(targets)}; there must be as many, and at least one.")
    check_targets(loss, targets, network.output_shape)
    return inputs, targets, loss_tape(loss, network.output_shape, targets.shape[1:])


def _require_finite(loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the loss is {loss} {when}. Take a smaller rate, bound the gradient with clip_norm, or look for values in "
            "x and y that are not finite."
        )


@dataclass
class _Best:
    """The smallest value so far, the epoch of it and the parameters then."""

    parameters: Mapping[str, Floats]
    value: float = math.inf
    epoch: int = 0

    def improved(self, value: float, epoch: int, parameters: Mapping[str, Floats]) -> None:
        if value < self.value:
            self.value, self.epoch = value, epoch
            self.parameters = {name: array.copy() for name, array in parameters.items()}


def fit(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: Loss,
    optimiser: Optimiser | LBFGS = Adam(),  # noqa: B008
    epochs: int = 10,
    batch_size: int = 32,
    validation: tuple[ArrayLike, ArrayLike] | float | None = None,
    metrics: Sequence[Metric] = (),
    seed: int = 0,
    early_stopping: int | None = None,
    clip_norm: float | None = None,
    progress: bool = True,
) -> tuple[Network, History]:
    """Train a network; gives a new one and the history, and leaves the network itself as it is.

    ``x`` and ``y`` have a leading axis of examples. Each epoch goes through all of them in an order drawn from
    ``seed``, from which dropout is drawn too: the same call gives the same parameters. ``validation`` is a pair of
    examples and targets, or the share of the examples, from their end, to keep for it; ``metrics`` are of these.
    ``early_stopping`` is the number of epochs without a smaller validation loss (without validation, training loss)
    after which training ends, with the parameters of the best epoch. ``clip_norm`` bounds the norm of each step's
    gradient. With ``LBFGS`` all examples are one batch, and dropout does nothing.

    Raises InputError for data that do not fit, DivergedError as soon as the loss is not finite.

    >>> from fastgrad import nn
    >>> x = np.linspace(-1.0, 1.0, 64)[:, None]
    >>> network = nn.build(nn.Sequential(nn.Dense(8, nn.tanh), nn.Dense(1)), 1)
    >>> trained, history = nn.fit(network, x, x**2, loss=nn.squared_error, epochs=300, optimiser=nn.Adam(0.02),
    ...                           progress=False)
    >>> bool(history["loss"][-1] < 0.01 * history["loss"][0])
    True
    """
    counts = [epochs, batch_size, *([] if early_stopping is None else [early_stopping])]
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in counts):
        raise InputError("epochs, batch_size and early_stopping must be whole numbers from 1 on.")
    if clip_norm is not None and not clip_norm > 0.0:
        raise InputError(f"clip_norm must be above 0, not {clip_norm!r}.")
    if not callable(loss) or isinstance(optimiser, type):
        raise InputError(
            "loss is a function such as nn.cross_entropy, optimiser what calling its class gives, such as nn.Adam()."
        )
    if not network.trainable:
        raise InputError("the network has no parameters to train: all are frozen, or it has none.")
    x, y, validation = _split(x, y, validation)
    inputs, targets, loss_of_example = checked(network, x, y, loss)
    if isinstance(optimiser, LBFGS):
        from fastgrad.nn.full_batch import FullBatch

        trainer: MiniBatches | FullBatch = FullBatch(network, loss_of_example, inputs, targets, optimiser)
    else:
        trainer = MiniBatches(network, loss_of_example, inputs, targets, optimiser, batch_size, clip_norm, seed)
    evaluation = Evaluation(network, *validation, loss, metrics) if validation is not None else None
    columns: dict[str, list[float]] = {}
    best = _Best(network.parameters)
    with progress_of(epochs, progress) as report:

        def after_epoch(training_loss: float) -> bool:
            """Note what an epoch gave; whether to stop."""
            epoch = len(columns.get("loss", ()))
            values = {"loss": training_loss}
            if evaluation is not None:
                values |= {f"val_{name}": value for name, value in evaluation(trainer.parameters).items()}
            for name, value in values.items():
                columns.setdefault(name, []).append(value)
            _require_finite(values.get("val_loss", training_loss), f"after epoch {epoch + 1}")
            report(epoch, values)
            if early_stopping is None:
                return False
            best.improved(values.get("val_loss", training_loss), epoch, trainer.parameters)
            return epoch - best.epoch >= early_stopping

        trainer.train(epochs, after_epoch)
    if early_stopping is None:
        best = _Best(trainer.parameters, epoch=len(columns["loss"]) - 1)
    history = History({name: np.array(values) for name, values in columns.items()}, best.epoch)
    return network.with_parameters(best.parameters), history


def _split(
    x: ArrayLike, y: ArrayLike, validation: tuple[ArrayLike, ArrayLike] | float | None
) -> tuple[ArrayLike, ArrayLike, tuple[ArrayLike, ArrayLike] | None]:
    if validation is None:
        return x, y, None
    if isinstance(validation, Sequence) and len(validation) == 2:
        return x, y, (validation[0], validation[1])
    if not isinstance(validation, (int, float)) or not 0.0 < validation < 1.0:
        raise InputError(f"validation is a pair of arrays or a share between 0 and 1, not {validation!r}.")
    inputs, targets = np.asarray(x), np.asarray(y)
    first = len(inputs) - max(round(validation * len(inputs)), 1)
    return inputs[:first], targets[:first], (inputs[first:], targets[first:])


@dataclass
class MiniBatches:
    """The state of training: parameters, what the optimiser keeps, the number of steps done."""

    network: Network
    loss: Tape
    inputs: Floats
    targets: Floats
    optimiser: Optimiser
    batch_size: int
    clip_norm: float | None = None
    seed: int = 0
    n_steps: int = 0
    _steps: dict[int, _Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._shuffling = generator_for(self.seed, "shuffling")
        self._masking = generator_for(self.seed, "dropout")
        self._names = self.network.trainable
        values = [self.network.parameters[name] for name in self._names]
        states = [part for value in values for part in self.optimiser.initial(value)]
        now = [np.array(array, np.float64) for array in (*values, *states)]
        # steps read from one of these and write to the other, in turns
        self.buffers = now, [np.empty_like(array) for array in now]

    @property
    def parameters(self) -> dict[str, Floats]:
        return {**self.network.parameters, **dict(zip(self._names, self.buffers[self.n_steps % 2], strict=False))}

    def train(self, epochs: int, after_epoch: Callable[[float], bool]) -> None:
        """Train for so many epochs, or until ``after_epoch``, which is told the loss, says to stop."""
        for _ in range(epochs):
            if after_epoch(self.epoch()):
                return

    def epoch(self) -> float:
        """Go through all examples once; the mean of their losses, each at its step."""
        order = self._shuffling.permutation(len(self.inputs))
        total = 0.0
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            total += self._step(len(chosen)).run(chosen) * len(chosen)
        return total / len(order)

    def _step(self, n: int) -> _Step:
        if n not in self._steps:
            self._steps[n] = _Step(self, n)
        return self._steps[n]


class _Step:
    """The step for batches of ``n`` examples."""

    def __init__(self, training: MiniBatches, n: int) -> None:
        network, names = training.network, training._names
        self._training = training
        gradient = gradient_tape(network, training.loss, n, names)
        self._x = np.empty((n, *network.input_shape))
        self._target = np.empty((n, *training.targets.shape[1:]))
        shapes = dict(zip(network.tape.input_names, network.tape.input_shapes, strict=True))
        self._masks = {name: np.empty((n, *shapes[name])) for name in network.dropout}
        self._rate, self._count, self._loss = np.zeros(()), np.zeros(()), np.zeros(())
        given = {TARGET: self._target, network.input_name: self._x, **network.parameters, **self._masks}
        bind = binder(step_tape(gradient, training.optimiser, names, training.clip_norm))
        runs = []
        for now, following in (training.buffers, training.buffers[::-1]):
            given |= zip(names, now, strict=False)
            inputs = [self._rate, self._count, *(given[name] for name in gradient.input_names), *now[len(names) :]]
            runs.append(bind(inputs, [self._loss, *following]))
        self._runs = tuple(runs)

    def run(self, chosen: NDArray[np.int64]) -> float:
        """Do a step with these examples; their mean loss before it."""
        training = self._training
        np.take(training.inputs, chosen, axis=0, out=self._x, mode="clip")
        np.take(training.targets, chosen, axis=0, out=self._target, mode="clip")
        for name, mask in self._masks.items():
            kept = 1.0 - training.network.dropout[name]
            np.divide(training._masking.random(mask.shape) < kept, kept, out=mask)
        self._rate[()] = rate_at(training.optimiser.rate, training.n_steps)
        self._count[()] = training.n_steps + 1
        self._runs[training.n_steps % 2]()
        training.n_steps += 1
        loss = float(self._loss)
        _require_finite(loss, f"at step {training.n_steps}")
        return loss
