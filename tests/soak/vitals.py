"""What the workers hold: memory and descriptors, looked at every second."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

WARM_UP_PART = 1 / 3
MOST_MEGABYTES_GROWN = 8.0
MOST_DESCRIPTORS_GROWN = 12.0
FEWEST_SAMPLES = 20
MOST_SAMPLES = 5_000

_PAGE_MEGABYTES = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process held at one time."""

    at: float
    megabytes: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What a worker held in the second third of its life, and in the last."""

    pid: int
    seconds: float
    megabytes: tuple[float, float]
    descriptors: tuple[float, float]

    @property
    def is_flat(self) -> bool:
        """Whether it holds as much as before, but for what caches and pools may take."""
        grown = self.megabytes[1] - self.megabytes[0], self.descriptors[1] - self.descriptors[0]
        return grown[0] <= MOST_MEGABYTES_GROWN and grown[1] <= MOST_DESCRIPTORS_GROWN


class Vitals:
    """The samples of every worker."""

    def __init__(self) -> None:
        self._samples: dict[int, deque[Sample]] = defaultdict(lambda: deque(maxlen=MOST_SAMPLES))

    def look(self, pids: Sequence[int]) -> None:
        """Sample each of these processes, unless it is gone."""
        for pid in pids:
            with suppress(OSError, IndexError):
                self._samples[pid].append(_sample(pid))

    def growths(self) -> list[Growth]:
        """How each worker grew that lived long enough to say."""
        return [growth_of(pid, [*samples]) for pid, samples in self._samples.items() if len(samples) >= FEWEST_SAMPLES]


def growth_of(pid: int, samples: Sequence[Sample]) -> Growth:
    """The medians of the second and of the last third."""
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[-third:]
    return Growth(
        pid,
        samples[-1].at - samples[0].at,
        (statistics.median(one.megabytes for one in before), statistics.median(one.megabytes for one in after)),
        (statistics.median(one.descriptors for one in before), statistics.median(one.descriptors for one in after)),
    )


def _sample(pid: int) -> Sample:
    with open(f"/proc/{pid}/statm") as statm:
        pages = int(statm.read().split()[1])
    return Sample(time.time(), pages * _PAGE_MEGABYTES, len(os.listdir(f"/proc/{pid}/fd")))
