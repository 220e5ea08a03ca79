"""The first batches of a run, made by its own collator, with nothing of the run used up.

Samplers, generators and the random state of Python, NumPy and torch are left as they were found. A batch is made in
this process from the rows that the sampler names, as torch's own loader makes it without workers.

In: a trainer, a DataLoader, or a list of batches. Out: Batch. Imports no torch: whoever has a loader has imported it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from inspector.errors import CheckError

DEPTH = 6
"""How many samplers in each other are looked through."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a collator returned, and the rows of the data set that it was given. `is_whole`: it is a data set's rows."""

    values: Mapping[str, Any]
    rows: tuple[Any, ...] = ()
    is_whole: bool = False


def is_trainer(source: Any) -> bool:
    """Whether it makes loaders as transformers' Trainer does."""
    return callable(getattr(source, "get_train_dataloader", None))


def is_loader(source: Any) -> bool:
    """Whether it is torch's DataLoader, one that accelerate prepared, or one with the same attributes."""
    return all(hasattr(source, name) for name in ("dataset", "collate_fn", "batch_sampler"))


def loader_of(trainer: Any) -> Any:
    """The training loader of a trainer, which keeps no trace of it. Raises CheckError where it has no training data."""
    if getattr(trainer, "train_dataset", True) is None:
        raise CheckError("The trainer has no train_dataset: there is nothing to check before it is given one.")
    with suppress(TypeError):  # a data set without a length
        if len(trainer.train_dataset) == 0:
            raise CheckError("The trainer's train_dataset holds no row: its filters may have dropped all of them.")
    prepared = getattr(getattr(trainer, "accelerator", None), "_dataloaders", None)
    before = None if prepared is None else list(prepared)
    with left_as_found():
        loader = trainer.get_train_dataloader()
    if prepared is not None:
        prepared[:] = before
    return loader


def first_batches(loader: Any, count: int) -> list[Batch]:
    """The first batches of a loader, or of a list of batches. Raises CheckError for what can be read only once."""
    loader = getattr(loader, "base_dataloader", loader)  # accelerate's, which moves batches and counts what it gave
    if not is_loader(loader):
        return [Batch(_checked(values)) for values in islice(loader, count)]
    with left_as_found(loader):
        batches = _batches(loader)
        try:
            return list(islice(batches, count))
        finally:
            batches.close()


def _batches(loader: Any) -> Generator[Batch, None, None]:
    """The batches of a DataLoader, as its fetchers make them."""
    if (torch := sys.modules.get("torch")) is not None and isinstance(loader, torch.utils.data.DataLoader):
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # the seed of workers comes first
    is_map = hasattr(loader.dataset, "__getitem__") and not _is_iterable(loader.dataset)
    if not is_map and iter(loader.dataset) is loader.dataset:
        raise CheckError(
            "The data set is an iterator, which can be read only once: a check would use up rows of the run. Give "
            "`check` a list of its first batches instead."
        )
    groups = loader.batch_sampler if is_map else _groups(iter(loader.dataset), getattr(loader, "batch_size", None))
    if is_map and groups is None:  # batch_size=None: each row is a batch already
        yield from (_batch(loader.collate_fn, row, (row,)) for row in map(loader.dataset.__getitem__, loader.sampler))
        return
    for group in groups:
        rows = _rows(loader.dataset, group) if is_map else group
        if not is_map and getattr(loader, "batch_size", None) is None:
            yield _batch(loader.collate_fn, rows[0], tuple(rows))
        else:
            yield _batch(loader.collate_fn, rows, tuple(rows))


def _is_iterable(dataset: Any) -> bool:
    """Whether torch takes it for a data set without indices."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(dataset, torch.utils.data.IterableDataset)


def _groups(rows: Iterator[Any], size: int | None) -> Iterator[list[Any]]:
    while group := list(islice(rows, size or 1)):
        yield group


def _rows(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The rows at these indices, asked for at once where the data set can do that, as torch asks."""
    several = getattr(dataset, "__getitems__", None)
    return list(several(list(indices)) if callable(several) else map(dataset.__getitem__, indices))


def _batch(collate: Callable[[Any], Any], rows: Any, sources: tuple[Any, ...]) -> Batch:
    # a collator may write into the rows that it is given
    kept = tuple(dict(row) if isinstance(row, Mapping) else row for row in sources)
    return Batch(_checked(collate(rows)), kept)


def _checked(values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise CheckError(
            f"A batch is of the kind {type(values).__name__}, and must be a mapping with `input_ids`, as collators of "
            "transformers return."
        )
    return values


# --- nothing is used up


@contextmanager
def left_as_found(loader: Any = None) -> Iterator[None]:
    """Random state, and the state of a loader's samplers and generators, are afterwards as they were before."""
    with ExitStack() as stack:
        for restore in (*_random_states(), *_states(loader, DEPTH, set())):
            stack.callback(restore)
        yield


def _random_states() -> Iterator[Callable[[], None]]:
    yield _again(random.setstate, random.getstate())
    if (numpy := sys.modules.get("numpy")) is not None:
        yield _again(numpy.random.set_state, numpy.random.get_state())
    if (torch := sys.modules.get("torch")) is not None:
        yield _again(torch.random.set_rng_state, torch.random.get_rng_state())
        if torch.cuda.is_initialized():
            yield _again(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _again(setter: Callable[[Any], Any], value: Any) -> Callable[[], None]:
    return lambda: setter(value)


def _states(thing: Any, depth: int, seen: set[int]) -> Iterator[Callable[[], None]]:
    """What puts an object, its generators, and the samplers below it back."""
    if thing is None or depth == 0 or id(thing) in seen:
        return
    seen.add(id(thing))
    for get, put in (("get_state", "set_state"), ("getstate", "setstate")):  # torch's and Python's generators
        if hasattr(thing, get) and hasattr(thing, put):
            yield _again(getattr(thing, put), getattr(thing, get)())
            return
    bits: Any = getattr(thing, "bit_generator", None)
    if hasattr(bits, "state"):  # NumPy's
        yield _again(lambda state: setattr(bits, "state", state), bits.state)
        return
    if is_loader(thing):
        for name in ("generator", "sampler", "batch_sampler"):
            yield from _states(getattr(thing, name, None), depth - 1, seen)
    elif hasattr(thing, "__iter__") and hasattr(thing, "__dict__") and not hasattr(thing, "__getitem__"):  # a sampler
        yield from _attributes(thing, depth, seen)


def _attributes(sampler: Any, depth: int, seen: set[int]) -> Iterator[Callable[[], None]]:
    """What puts a sampler's attributes back, the lists among them with what they hold."""
    values = dict(vars(sampler))
    lists = [(value, value[:]) for value in values.values() if isinstance(value, list)]

    def restore() -> None:
        vars(sampler).clear()
        vars(sampler).update(values)
        for one, held in lists:
            one[:] = held

    yield restore
    for name, value in values.items():
        if name not in ("data_source", "dataset"):
            yield from _states(value, depth - 1, seen)
