"""Measure errors of displacements on synthetic motion: ``python -m study.motion_error``."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
import itertools
import logging
import math
import os
import statistics
import sys
import time
from typing import Any

import cv2
from moss_perception.cli.common import cpu_name, run_command, set_up_logging
from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import mean_interval, require
from moss_perception.models.layers.flow_field import FlowField, UNIT_PIXELS
from moss_perception.moss.displacement import displacements, Search
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from study.motion_scenes import make_scene, MovingScene
from study.pages import add_output_options, show_results

log = logging.getLogger('motion_error')
SETS = 'sim', 'shifted'
FEATURES = 'grey', 'gradient', 'both'
# With the settings of the flow variant: the medium preset, down to single pixels.
DIS = 'DIS, as the flow variant'
# Pixels, of either axis.
_LARGEST = 6.0
# By name: Gauss-Newton steps, passes for borders, and spacing.
VARIANTS = {'parabola': (0, 0, 1), 'parabola, sparse': (0, 0, 2), 'Gauss-Newton': (1, 0, 1),
            'borders': (0, 3, 1), 'Gauss-Newton, borders': (1, 3, 1),
            'Gauss-Newton, borders, sparse': (1, 2, 2)}
# Seeds of the scenes that choose settings begin here, those of the results at 0.
_CHOOSING = 1_000_000

# From the image before and the newest to motion in pixels, (S, S, 2), as MovingScene has it.
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MossSettings:
    """
    How displacements are found by MOSS's read-out, without anything learnt.

    :ivar stride: side of a cell, pixels.
    :ivar features: one of :data:`FEATURES`.
    :ivar search: how to look.
    """

    stride: int
    features: str
    search: Search

    def describe(self) -> str:
        """Return the settings that are chosen, in words."""
        return _described(asdict(self))


def _described(settings: dict[str, Any]) -> str:
    search = settings['search']
    return f'{settings["features"]}, {search["similarity"]}, patch {search["patch"]}'


class MossMotion:
    """Finds motion as order 1 of a MOSS block does in a stream: each map is made once."""

    def __init__(self, settings: MossSettings):
        self.settings = settings

    @torch.inference_mode()
    def keep(self, image: np.ndarray) -> Tensor:
        """Make the map of an image, shape ``(1, H, W, P)``."""
        grey = torch.from_numpy(image).float()[None, None]
        grey = F.avg_pool2d(grey, self.settings.stride)
        channels = []
        if self.settings.features != 'gradient':
            channels.append(_scaled(grey - grey.mean()))
        if self.settings.features != 'grey':
            padded = F.pad(grey, (1, 1, 1, 1), mode='replicate')
            slopes = torch.cat([padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2],
                                padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]], 1)
            channels.append(_scaled(slopes) * math.sqrt(2))
        maps = torch.cat(channels, 1)
        if self.settings.search.similarity == 'cosine':
            # A place without contrast is no direction.
            maps = maps / (maps.square().sum(1, keepdim=True) + 0.1).sqrt()
        else:
            maps = maps / math.sqrt(maps.shape[1])
        return maps.movedim(1, -1).contiguous()

    @torch.inference_mode()
    def find(self, kept: Tensor, image: np.ndarray) -> np.ndarray:
        """Find the motion from a kept map to an image."""
        stride = self.settings.stride
        found = displacements(self.keep(image), kept[:, None], self.settings.search)
        motion = found[:, :, :, 0, :2].movedim(-1, 1) * stride
        if stride > 1:
            motion = F.interpolate(motion, scale_factor=stride, mode='bilinear')
        return motion[0].movedim(0, -1).numpy()


def _scaled(maps: Tensor) -> Tensor:
    """Scale the maps of a frame to a mean square of 1 a channel."""
    return maps / (maps.square().mean() + 1e-6).sqrt()


def flows() -> dict[str, Method]:
    """Make the classical methods, by name; each computes the flow from the newest image back."""
    field = FlowField()
    create = cv2.DISOpticalFlow_create  # pyright: ignore[reportAttributeAccessIssue]
    medium, fast = (create(preset) for preset in (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
                                                  cv2.DISOPTICAL_FLOW_PRESET_FAST))

    def farneback(before: np.ndarray, now: np.ndarray) -> np.ndarray:
        start = np.zeros((*now.shape, 2), np.float32)
        return -cv2.calcOpticalFlowFarneback(now, before, start, 0.5, 3, 15, 3, 5, 1.2, 0)

    return {DIS: lambda before, now: (
                -field.between(now, before).transpose(1, 2, 0) * UNIT_PIXELS),
            'DIS, medium preset': lambda before, now: -medium.calc(now, before, None),
            'DIS, fast preset': lambda before, now: -fast.calc(now, before, None),
            'Farneback': farneback}


def errors(motion: np.ndarray, scene: MovingScene) -> dict[str, float]:
    """
    Compare motion with the truth, where both images show the same.

    :param motion: pixels, shape ``(S, S, 2)``.
    :returns: mean endpoint error, pixels: ``objects`` and ``everywhere``.
    """
    error = np.linalg.norm(motion - scene.motion, axis=-1)
    return {'objects': float(error[scene.known & scene.objects].mean()),
            'everywhere': float(error[scene.known].mean())}


def candidates(stride: int, variant: str) -> Iterator[MossSettings]:
    """Yield the settings that are tried for one stride and one of :data:`VARIANTS`."""
    side = 2 * (math.ceil(_LARGEST / stride) + 1) + 1
    patches = {1: (7, 9, 13), 2: (5, 7, 9), 4: (3, 5, 7)}[stride]
    for features, similarity, patch in itertools.product(FEATURES, ('ssd', 'cosine'), patches):
        yield MossSettings(stride, features, Search(side, side, patch, similarity,
                                                    *VARIANTS[variant]))


def choose(stride: int, variant: str, sets: dict[str, list[MovingScene]]) -> MossSettings:
    """Choose the settings of the least mean error on objects, over both sets alike."""
    def loss(settings: MossSettings) -> float:
        method = MossMotion(settings)
        return statistics.mean(
            errors(method.find(method.keep(scene.before), scene.now), scene)['objects']
            for scenes in sets.values() for scene in scenes)

    return min(candidates(stride, variant), key=loss)


def measure(sets: dict[str, list[MovingScene]],
            moss: dict[str, MossSettings]) -> dict[str, dict[str, Any]]:
    """
    Measure all methods, scene by scene in turn, so that a disturbance affects all alike.

    :param sets: scenes to test on, by name.
    :param moss: settings of the read-outs, by name.
    :returns: by method: ``ms``, the median of the process time of one pair of images, of which a
        stream has kept the first; and by set, ``objects`` and ``everywhere``, the mean endpoint
        error in pixels with its 95 % interval (bootstrap over scenes).
    """
    methods, readouts = flows(), {name: MossMotion(one) for name, one in moss.items()}
    times: dict[str, list] = {}
    found: dict[str, dict[str, list]] = {}
    for name, method in itertools.product(sets, (*methods, *readouts)):
        found.setdefault(method, {})[name] = []
    for name, scenes in sets.items():
        for scene in scenes:
            for method in found:
                readout = readouts.get(method)
                kept = readout.keep(scene.before) if readout else None
                start = time.process_time()
                motion = (readout.find(kept, scene.now) if readout and kept is not None
                          else methods[method](scene.before, scene.now))
                times.setdefault(method, []).append(1e3 * (time.process_time() - start))
                found[method][name].append(errors(motion, scene))
    return {method: {'ms': statistics.median(times[method]), **{
        name: {where: _interval([one[where] for one in values]) for where in values[0]}
        for name, values in by_set.items()}} for method, by_set in found.items()}


def _interval(values: list[float]) -> dict[str, float]:
    found = mean_interval(np.array(values))
    return {'value': found.value, 'low': found.low, 'high': found.high}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='python -m study.motion_error', description=__doc__)
    parser.add_argument('--scenes', type=int, default=100,
                        help='number of scenes of each set to test on (100)')
    parser.add_argument('--choose', type=int, default=8,
                        help='number of other scenes that choose the settings of MOSS (8)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first scene (0)')
    parser.add_argument('--size', type=int, default=128, help='side of the images, pixels (128)')
    parser.add_argument('--strides', type=int, nargs='+', default=[1, 2, 4], choices=[1, 2, 4],
                        help='pixels a cell of the maps (1 2 4)')
    parser.add_argument('--threads', type=int, default=1, help='number of threads (1)')
    parser.add_argument('--results', metavar='FILE',
                        help='print stored results, instead of measuring')
    add_output_options(parser, 'motion_error', 'methods')
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Choose settings, measure all methods, print a table, and store the results."""
    return show_results(arguments, _measure_all, 'motion_error', 'methods', table)


def _measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    for name, least in (('scenes', 2), ('choose', 1), ('seed', 0), ('size', 64), ('threads', 1)):
        value = getattr(arguments, name)
        if value < least:
            raise ConfigError(f'--{name}={value}: expected {least} or more')
    if arguments.size % 4 or arguments.seed + arguments.scenes > _CHOOSING:
        raise ConfigError(f'--size={arguments.size} --seed={arguments.seed}: expected a size that '
                          f'4 divides, and seeds below {_CHOOSING}')
    require()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    sets = _scenes(_CHOOSING + arguments.seed, arguments.choose, arguments.size)
    moss = {}
    for stride, variant in itertools.product(arguments.strides, VARIANTS):
        name = f'MOSS, stride {stride}: {variant}'
        moss[name] = choose(stride, variant, sets)
        log.info('%s (%s)', name, moss[name].describe())
    # The first scenes warm up what is measured next.
    measure({name: scenes[:2] for name, scenes in sets.items()}, moss)
    found = measure(_scenes(arguments.seed, arguments.scenes, arguments.size), moss)
    return {
        'machine': f'{cpu_name()}, {arguments.threads} of {os.cpu_count()} cores',
        'size': arguments.size, 'scenes': arguments.scenes, 'seed': arguments.seed,
        'chosen_on': arguments.choose,
        'settings': {name: asdict(one) for name, one in moss.items()}, 'methods': found}


def _scenes(first: int, count: int, size: int) -> dict[str, list[MovingScene]]:
    return {name: [make_scene(first + n, size, _LARGEST, name == 'shifted') for n in range(count)]
            for name in SETS}


def table(result: dict[str, Any]) -> str:
    """Lay out results; times and errors also as shares of those of DIS."""
    found, settings = result['methods'], result['settings']
    reference = found[DIS]
    columns = [(name, where) for name in SETS for where in ('objects', 'everywhere')]
    rows = []
    for method, one in found.items():
        shares = [one['ms'] / reference['ms'], *(
            one[name][where]['value'] / reference[name][where]['value']
            for name, where in columns)]
        rows.append([method, _described(settings[method]) if method in settings else '-',
                     *(_figure(one[name][where]) for name, where in columns), f'{one["ms"]:.2f}',
                     ', '.join(f'{share:.2f}' for share in shares)])
    head = [f'{name}, {where}' for name, where in columns]
    title = (f'Mean endpoint error, pixels [95 % interval, bootstrap over {result["scenes"]} '
             f'scenes a set, from seed {result["seed"]}]; images of {result["size"]} x '
             f'{result["size"]} pixels, motion up to {_LARGEST:g} an axis; median process time a '
             f'frame on {result["machine"]}.\n\n')
    return title + markdown(['method', 'chosen', *head, 'ms', 'of DIS: time, errors'], rows)


def _figure(found: dict[str, float]) -> str:
    return f'{found["value"]:.2f} [{found["low"]:.2f}, {found["high"]:.2f}]'


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
