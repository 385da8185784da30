"""Synthetic probes: what the displacement of each order answers to."""

from dataclasses import dataclass

from moss_perception.evaluation.look.orders import pixel_reader, Reader
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

QUANTITIES = ('velocity', 'acceleration', 'period')
# Cells: of the maps, and of the disc that moves on them.
_SIZE, _RADIUS = 40, 8
# Cells a frame, cells a frame squared; frames and cells of an oscillation.
_VELOCITY, _ACCELERATION, _PERIOD, _AMPLITUDE = 0.8, 0.12, (6.0, 20.0), (1.2, 2.4)
# The number that is read of each order is the displacement to the right at the lag nearest to it.
_LAG = 2
# An oscillation is read over half its longest period.
_READ = 8
_BATCH = 8


@dataclass(frozen=True)
class Answers:
    """
    What the orders read of probes.

    :ivar truth: of each probe by quantity, shape ``(P,)``: cells a frame, cells a frame squared,
        frames.
    :ivar read: by quantity, shape ``(N, P)`` for ``N`` orders: the displacement to the right in
        cells; for the period its root mean square over time.
    """

    truth: dict[str, np.ndarray]
    read: dict[str, np.ndarray]

    def explained(self) -> dict[str, list[float]]:
        """
        Return how much of a quantity each order's number explains.

        :returns: by quantity, for each order the squared correlation in [0, 1]; of logarithms
            for the period, whose answer is a power of it.
        """
        found = {}
        for name, truth in self.truth.items():
            curve = np.log if name == 'period' else np.asarray
            found[name] = [_squared_correlation(curve(truth), curve(one))
                           for one in self.read[name]]
        return found


def _squared_correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1] ** 2)


def probe(count: int = 24, seed: int = 0, reader: Reader | None = None) -> Answers:
    """
    Show a moving disc to a block, and read what its orders say.

    Velocity and acceleration are drawn independently of one another, and so are the period and
    the amplitude of an oscillation.

    :param count: probes of each kind.
    :param seed: of motions and textures.
    :param reader: whose block is shown the maps; ``None`` for the one that compares pixels.
    """
    reader = reader or pixel_reader()
    back = reader.block.receptive_field - 1
    rng = np.random.default_rng(seed)
    velocity, acceleration = rng.uniform(-1, 1, (2, count)) * np.array(
        [[_VELOCITY], [_ACCELERATION]])
    age = np.arange(back, -1, -1.0)
    path = velocity[:, None] * -age + acceleration[:, None] * age ** 2 / 2
    steady = _read(reader, path, rng, 1)[:, :, -1]
    period = np.exp(rng.uniform(np.log(_PERIOD[0]), np.log(_PERIOD[1]), count))
    amplitude, phase = rng.uniform(*_AMPLITUDE, count), rng.uniform(0, 2 * np.pi, count)
    age = np.arange(back + _READ)
    path = amplitude[:, None] * np.sin(2 * np.pi * age / period[:, None] + phase[:, None])
    swinging = np.sqrt((_read(reader, path, rng, _READ) ** 2).mean(axis=-1))
    return Answers(dict(zip(QUANTITIES, (velocity, acceleration, period), strict=True)),
                   dict(zip(QUANTITIES, (steady, steady, swinging), strict=True)))


@torch.inference_mode()
def _read(reader: Reader, path: np.ndarray, rng: np.random.Generator,
          last: int) -> np.ndarray:
    """
    Read the orders at the disc's place.

    :param path: of the disc to the right, cells from the middle, shape ``(P, T)``.
    :returns: displacements to the right in the last frames, shape ``(N, P, last)``.
    """
    block, found = reader.block, []
    lag = min(range(len(reader.lags)), key=lambda n: abs(reader.lags[n] - _LAG))
    texture, ground = (torch.from_numpy(rng.standard_normal(
        (len(path), block.in_channels, _SIZE, _SIZE))).float() for _ in range(2))
    for first in range(0, len(path), _BATCH):
        part = slice(first, first + _BATCH)
        clips = _render(torch.from_numpy(path[part]).float(), texture[part], ground[part])
        values = block.displacements(clips)
        columns = (path[part, -last:].round() + _SIZE // 2).astype(int)
        rows = np.arange(len(columns))[:, None]
        frames = np.arange(-last, 0)[None]
        found.append([order[:, :, lag, 0, _SIZE // 2].numpy()[rows, frames, columns]
                      for order in values])
    return np.concatenate(found, axis=1)


def _render(path: Tensor, texture: Tensor, ground: Tensor) -> Tensor:
    """Draw a textured disc on a textured ground: shape ``(P, T, C, S, S)``."""
    texture, ground = (F.avg_pool2d(one, 3, 1, 1) for one in (texture, ground))
    places = torch.arange(_SIZE) - _SIZE // 2
    clips = []
    for shift in path.unbind(1):
        right = places - shift[:, None]
        grid = torch.stack([right[:, None].expand(-1, _SIZE, -1),
                            places[None, :, None].expand(len(path), -1, _SIZE)], -1)
        inside = (_RADIUS + 0.5 - grid.norm(dim=-1)).clamp(0, 1)[:, None]
        moved = F.grid_sample(texture, (grid + 0.5) * 2 / _SIZE, mode='bicubic',
                              align_corners=False)
        clips.append(moved * inside + ground * (1 - inside))
    return torch.stack(clips, 1)
