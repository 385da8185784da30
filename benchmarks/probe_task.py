"""A small task that needs motion: how far does a textured disc move in three frames?"""

from dataclasses import dataclass
import math

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.moss import MOSS
import torch
from torch import nn, Tensor
import torch.nn.functional as F

SIDE = 48
FRAMES = 8
AHEAD = 3
# Displacements are some pixels; divided by this they have a variance near 1.
SCALE_PX = 4.0


@dataclass(frozen=True)
class Domain:
    """
    What clips look like.

    :ivar grain: side of a texture's cells, pixels, smooth between them; 0 for hard stripes.
    :ivar light: highest change of brightness across the frame.
    :ivar noise: standard deviation of the pixels' noise.
    """

    grain: int
    light: float
    noise: float


TRAINING = Domain(grain=5, light=0.0, noise=0.01)
SHIFTED = Domain(grain=0, light=0.3, noise=0.05)


def _textures(count: int, side: int, domain: Domain, generator: torch.Generator) -> Tensor:
    """Draw textures of RGB in [0, 1], shape ``(count, 3, side, side)``."""
    if domain.grain:
        cells = torch.rand(count, 3, side // domain.grain + 2, side // domain.grain + 2,
                           generator=generator)
        return F.interpolate(cells, size=(side, side), mode='bicubic',
                             align_corners=True).clamp(0, 1)
    angle, phase = 2 * math.pi * torch.rand(2, count, 1, 1, generator=generator)
    period = 4 + 6 * torch.rand(count, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
    wave = torch.sin(2 * math.pi * (x * angle.cos() + y * angle.sin()) / period + phase)
    colours = torch.rand(2, count, 3, 1, 1, generator=generator)
    return torch.where(wave[:, None] > 0, colours[0], colours[1])


def _paths(count: int, generator: torch.Generator) -> Tensor:
    """Draw paths, constant, accelerating or oscillating: ``(count, FRAMES + AHEAD, 2)`` pixels."""
    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)
    t = torch.arange(FRAMES + AHEAD) - (FRAMES - 1.0)
    speed, gain = draw(-2.5, 2.5), draw(-0.4, 0.4)
    swing, rate, phase = draw(3, 7), draw(0.5, 1.2), draw(0, 2 * math.pi)
    kinds = torch.stack([speed * t, speed * t + gain * t * t / 2,
                         swing * (torch.sin(rate * t + phase) - torch.sin(phase))])
    kind = torch.randint(3, (count,), generator=generator)
    along = kinds[kind, torch.arange(count)]
    angle = draw(0, 2 * math.pi)
    path = torch.stack([along * angle.cos(), along * angle.sin()], dim=-1)
    return path + (SIDE / 2 + 5 * (torch.rand(count, 1, 2, generator=generator) * 2 - 1))


def clips(count: int, seed: int, domain: Domain) -> tuple[Tensor, Tensor]:
    """
    Draw clips and their labels.

    :param count: number ``N`` of clips.
    :param seed: of everything.
    :param domain: what they look like.
    :returns: float32 frames near [0, 1], shape ``(N, T, 3, 48, 48)``; and by how much the disc
        will have moved ``AHEAD`` frames after the last, (x, y) in :data:`SCALE_PX`, ``(N, 2)``.
    """
    generator = torch.Generator().manual_seed(seed)
    path = _paths(count, generator)
    radius = 5 + 4 * torch.rand(count, 1, 1, 1, generator=generator)
    ground = 0.6 * _textures(count, SIDE, domain, generator)[:, None]
    skin = 0.3 + 0.7 * _textures(count, 24, domain, generator)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing='ij')
    away = torch.stack([x, y], dim=-1) - path[:, :FRAMES, None, None]
    place = (away / 12).flatten(1, 2)
    disc = F.grid_sample(skin, place, padding_mode='border', align_corners=False)
    disc = disc.unflatten(2, (FRAMES, SIDE)).movedim(2, 1)
    inside = torch.sigmoid(2 * (radius - away.norm(dim=-1)))[:, :, None]
    frames = ground + inside * (disc - ground)
    tilt = domain.light * (2 * torch.rand(count, 2, 1, 1, 1, 1, generator=generator) - 1)
    frames = frames * (1 + tilt[:, 0] * (x / SIDE - 0.5) + tilt[:, 1] * (y / SIDE - 0.5))
    frames = frames + domain.noise * torch.randn(frames.shape, generator=generator)
    ahead = path[:, FRAMES - 1 + AHEAD] - path[:, FRAMES - 1]
    return frames, ahead / SCALE_PX


class Probe(nn.Module):
    """
    Three convolutions, MOSS at stride 4, and what it says of the last frame.

    :param rank: channels that MOSS compares; ``None`` for all that it projects to, 64.
    """

    def __init__(self, rank: int | None, channels: int = 64):
        super().__init__()
        layers: list[nn.Module] = []
        for sizes in ((3, 16, 2), (16, 32, 2), (32, channels, 1)):
            layers += [nn.Conv2d(*sizes[:2], 3, stride=sizes[2], padding=1, bias=False),
                       nn.BatchNorm2d(sizes[1]), nn.ReLU()]
        self.backbone = nn.Sequential(*layers[:-1])
        self.moss = MOSS(channels, (1, 2), (5, 7, 7), channels=24, projection=64, rank=rank,
                         hidden=12, learning='depthwise', fusion='concat')
        self.head = nn.Sequential(nn.Conv2d(self.moss.motion_channels, 64, 1), nn.GELU())
        self.out = nn.Linear(64, 2)

    def forward(self, frames: Tensor) -> Tensor:
        """Predict, from ``(N, T, 3, 48, 48)``, the displacement ``(N, 2)``."""
        maps = self.backbone((frames.flatten(0, 1) - 0.4) / 0.2).unflatten(0, frames.shape[:2])
        motion = self.moss.motion(maps, last=1)[:, 0]
        return self.out(self.head(motion).sum(dim=(2, 3)) / 12)


def train(rank: int | None, seed: int, steps: int, batch: int = 16, rate: float = 5e-3) -> Probe:
    """
    Train on the training domain.

    :param rank: see :class:`Probe`.
    :param seed: of weights and clips; the same clips for every rank.
    :param steps: of ``batch`` clips each, from a pool of 100 batches.
    """
    pool = [clips(batch, 1_000_000 * (seed + 1) + n, TRAINING) for n in range(min(steps, 100))]
    torch.manual_seed(seed)
    probe = Probe(rank)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps,
                                                   pct_start=0.15)
    for step in range(steps):
        frames, ahead = pool[step % len(pool)]
        loss = F.smooth_l1_loss(probe(frames), ahead)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return probe.eval()


@torch.inference_mode()
def r_squared(probe: Probe, domain: Domain, count: int = 1024, seed: int = 7) -> float:
    """Return the share of the displacements' variance that is predicted, of new clips."""
    error = variance = 0.0
    for part in range(0, count, 128):
        frames, ahead = clips(min(128, count - part), seed + part, domain)
        error += float((probe(frames) - ahead).square().sum())
        variance += float(ahead.square().sum())
    return 1 - error / variance
