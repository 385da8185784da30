"""Simulate a worse camera: jitter of stamps and loss of images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import math
import zlib

from moss_perception.core.errors import ConfigError
from moss_perception.data.clips.video import ClipFrame
import numpy as np

# Below one half, so that stamps keep their order.
_FARTHEST = 0.4


@dataclass(frozen=True)
class Disturbance:
    """
    Jitter and losses of a clip's images, except the first and the last one.

    :ivar jitter_s: standard deviation of the stamps about their true times, seconds; no stamp is
        off by more than 0.4 of the distance to its neighbour.
    :ivar drops: probability that an image is lost, 0 up to but not including 1.
    :ivar seed: random seed.
    """

    jitter_s: float = 0.0
    drops: float = 0.0
    seed: int = 0

    def __post_init__(self):
        """
        Refuse what can't be done.

        :raises ConfigError: naming the field, its value and what was expected.
        """
        if not (self.jitter_s >= 0 and math.isfinite(self.jitter_s)):
            raise ConfigError(f'jitter of {self.jitter_s} s: expected 0 or more seconds')
        if not 0 <= self.drops < 1:
            raise ConfigError(f'drops of {self.drops}: expected a share from 0 to below 1')
        if self.seed < 0:
            raise ConfigError(f'seed {self.seed}: expected 0 or more')

    def label(self, domain: str) -> str:
        """Return a domain's name with this disturbance: ``real.jitter_0.02.drops_0.05``."""
        said = [f'{name}_{value:g}' for name, value in (
            ('jitter', self.jitter_s), ('drops', self.drops)) if value]
        return '.'.join([domain, *said])

    def apply(self, frames: Iterable[ClipFrame], name: str) -> Iterator[tuple[int, ClipFrame]]:
        """
        Move and drop images.

        :param name: name of the clip; the result depends only on it and on the seed.
        :returns: time since the clip's first image, nanoseconds, rising, and image.
        """
        rng = np.random.default_rng([self.seed, 22, zlib.crc32(name.encode())])
        before = here = None
        for after in frames:
            if here is not None:
                yield from self._one(rng, before, here, after)
            before, here = here, after
        if here is not None:
            yield here.time_ns, here

    def _one(self, rng: np.random.Generator, before: ClipFrame | None, here: ClipFrame,
             after: ClipFrame) -> Iterator[tuple[int, ClipFrame]]:
        # Both are drawn for each image, so that more jitter does not lose other images.
        late_ns, luck = rng.standard_normal() * self.jitter_s * 1e9, rng.uniform()
        if before is None:
            yield here.time_ns, here
        elif luck >= self.drops:
            late_ns = min(max(late_ns, _FARTHEST * (before.time_ns - here.time_ns)),
                          _FARTHEST * (after.time_ns - here.time_ns))
            yield here.time_ns + round(late_ns), here
