"""How much of an object's motion a network's maps tell: a linear probe of what it has learnt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.intervals import require, statistic_interval
from moss_perception.models.build import ClipNetwork
from moss_perception.models.config import GraspConfig
from moss_perception.models.network import GraspNetwork
from moss_perception.moss import MOSS
from moss_perception.training.dataset import collate, GraspClips
from moss_perception.training.decoded import decode_clips
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from torch.utils.data import DataLoader

# The object's place, and one cell of the map to each side.
_AROUND = torch.tensor([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1]])
_STRENGTHS = np.logspace(-2, 5, 15)
_REPEATS = 500


@contextmanager
def _listening(network: GraspNetwork | ClipNetwork) -> Iterator[dict[str, Tensor]]:
    """Keep what the head is given, and each order's map of the newest frame, ``(B, C, H, W)``."""
    heard: dict[str, Tensor] = {}
    read = network.read
    blocks = [module for module in network.modules() if isinstance(module, MOSS)]

    def reading(fine: Tensor, context: Tensor, grasps: Tensor):
        heard['what the head is given'] = context
        return read(fine, context, grasps)

    def fusing(block: MOSS, fuse):
        def fused(encodings: list[Tensor]) -> Tensor:
            for order, encoding in enumerate(encodings, start=1):
                heard[f'MOSS, order {order}'] = encoding[:, -1]
            return fuse(encodings)
        return fused

    network.read = reading
    for block in blocks:
        block.fuse = fusing(block, block.fuse)
    try:
        yield heard
    finally:
        del network.read
        for block in blocks:
            del block.fuse


@torch.inference_mode()
def read_maps(network: GraspNetwork | ClipNetwork, scenes: list,
              batch: int = 16) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """
    Read a network's maps where the object is, and how far it will have gone when fingers close.

    :param scenes: as recorded.
    :returns: by map, float32, shape ``(N, 5 * C)``: the newest map at the object and one cell to
        each side; and what may be found there, shape ``(N, D)``: the object's ``velocity`` along
        the belt, m/s, and the belt's ``acceleration``, m/s2, at the decision, as far as the
        scenes tell; and the object's
        ``way`` until the fingers close, in halves of the image.
    """
    network.eval()
    maps: dict[str, list] = {}
    ways = []
    with _listening(network) as heard:
        for images, grasps, here, there in clips(network.config, scenes, batch):
            network(images, grasps)
            ways.append(there - here)
            for name, values in heard.items():
                maps.setdefault(name, []).append(_at(values, here))
    motion = {name: np.array([getattr(scene, name) for scene in scenes])[:, None]
              for name in ('velocity', 'acceleration')}
    motion = {name: values for name, values in motion.items() if np.isfinite(values).all()}
    return ({name: torch.cat(parts).numpy() for name, parts in maps.items()},
            {**motion, 'way': torch.cat(ways).numpy()})


def clips(config: GraspConfig, scenes: list, batch: int = 16) -> Iterator[tuple[Tensor, ...]]:
    """
    Go through scenes as the network sees them, and tell where the object is.

    :param scenes: as recorded, with all candidates in the image.
    :returns: an iterator of images, uint8 ``(B, T, S, S, 3)``; grasps, float32 ``(B, K, 5)``; and
        the object's place at the decision and when the fingers close, ``(B, 2)`` each: x and y,
        where [-1, 1] are the image's outer edges.
    :raises ShapeError: if a scene is shorter than the window.
    """
    data = GraspClips(scenes, config, decode_clips(scenes, config))
    for images, grasps, _, _, places in DataLoader(data, batch, collate_fn=collate):
        reach = grasps[:, 0, 3:].norm(dim=-1, keepdim=True)
        here, there = (grasps[:, 0, :2] + places[:, 0, n:n + 2] * reach for n in (0, 2))
        yield images, grasps, here, there


def _at(values: Tensor, here: Tensor) -> Tensor:
    steps = 2 / torch.tensor(values.shape[:1:-1])
    points = here[:, None] + _AROUND * steps
    return F.grid_sample(values, points[:, None], align_corners=False,
                         padding_mode='border').flatten(1)


def probe(network: GraspNetwork | ClipNetwork, fitted: list,
          sets: dict[str, list]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """
    Fit a ridge regression from each map to the motion, and see how it does elsewhere.

    :param network: as trained; its weights stay as they are.
    :param fitted: scenes that the regression is fitted on, whose strength cross-validation finds.
    :param sets: by name, other scenes.
    :returns: by map, by ``velocity``, ``acceleration`` and ``way``, and by set: ``r2``, the share
        of the variance that is predicted, at most 1 and below 0 where the set's mean would do
        better, with its 95 % interval ``low`` to ``high`` (scenes drawn with replacement).
    :raises ConfigError: if there are too few scenes.
    """
    require()
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    for name, scenes in {'those to fit on': fitted, **sets}.items():
        if len(scenes) < 20:
            raise ConfigError(f'{len(scenes)} scenes in {name}: expected 20 or more')
    maps, motion = read_maps(network, fitted)
    others = {name: read_maps(network, scenes) for name, scenes in sets.items()}
    found: dict[str, Any] = {}
    for name, values in maps.items():
        found[name] = {}
        for what, truth in motion.items():
            model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS)).fit(values, truth)
            found[name][what] = {
                other: _r_squared(known[what], model.predict(there[name]).reshape(len(
                    known[what]), -1))
                for other, (there, known) in others.items() if what in known}
    return found


def _r_squared(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    def share(index: np.ndarray) -> float:
        known, said = truth[index], predicted[index]
        return float(1 - ((known - said) ** 2).sum() / ((known - known.mean(0)) ** 2).sum())

    found = statistic_interval(share, len(truth), repeats=_REPEATS)
    return {'r2': found.value, 'low': found.low, 'high': found.high}
