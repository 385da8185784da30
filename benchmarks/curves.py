"""How cost grows: kernels by the map's size, and MOSS by the clip, the map and the orders."""

import blocks
from harness import Report
from moss_perception.moss.kernels import prefers_tiles, window_products
from moss_perception.moss.windows import TILE
from peers import vit_pytorch
from streams import PeerStream, Stream
from timing import take_turns
import torch
from torch import Tensor

LENGTH, SIZE = 5, 9


def draw(*shape: int) -> Tensor:
    """Draw random numbers, the same for the same shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def products(query: Tensor, keys: Tensor) -> dict:
    """
    Return what does nothing but multiply, into memory that is there: whole maps, and tiles.

    :param query: shape ``(H, W, P)``.
    :param keys: shape ``(L, H, W, P)``.
    """
    rows, columns, channels = query.shape
    flat, others = query.flatten(0, 1), keys.flatten(0, 2).T
    maps = torch.empty(rows * columns, LENGTH * rows * columns)
    count, side = -(-rows // TILE) * -(-columns // TILE), SIZE + TILE - 1
    some = draw(count, TILE ** 2, channels)
    reached = draw(count, LENGTH * side ** 2, channels).transpose(1, 2)
    tiles = torch.empty(count, TILE ** 2, reached.shape[2])
    return {'maps': lambda: torch.mm(flat, others, out=maps),
            'tiles': lambda: torch.bmm(some, reached, out=tiles)}


@torch.inference_mode()
def measure_kernels(report: Report, quick: bool) -> None:
    """Hold the correlation of one map against the matrix product alone, by map size."""
    rows = []
    curves: dict[str, list[float]] = {'correlation': [], 'product of whole maps': [],
                                      'product of tiles': []}
    sides = (7, 14) if quick else (7, 14, 16, 28, 56)
    for channels in (64,) if quick else (64, 128):
        for side in sides:
            query, keys = draw(side, side, channels), draw(LENGTH, side, side, channels)
            bare = products(query, keys)
            query, keys = query[None, None], keys[None]
            times = take_turns({
                'correlation': lambda q=query, k=keys: window_products(q, k, SIZE, SIZE), **bare},
                rounds=2 if quick else 15, burst_s=0.03)
            found = {name: time.median_ms for name, time in times.items()}
            chosen = 'tiles' if prefers_tiles(side, side, SIZE, SIZE) else 'maps'
            rows.append({'map': f'{side} x {side}', 'C': channels, 'kernel': chosen,
                         'correlation ms': found['correlation'],
                         'product of maps ms': found['maps'],
                         'product of tiles ms': found['tiles'],
                         'times its product': found['correlation'] / found[chosen]})
            if channels == 64:
                for label, key in zip(curves, ('correlation', 'maps', 'tiles'), strict=True):
                    curves[label].append(found[key])
    report.table('kernels (window 5 x 9 x 9, one map with five)', rows,
                 'the product alone multiplies the same maps into allocated memory, without '
                 'gathering the windows')
    for label, values in curves.items():
        report.curve('kernels', label, list(sides), values)


@torch.inference_mode()
def measure_growth(report: Report, quick: bool) -> None:
    """Measure the time of a clip by T, and of a step by map size and by orders."""
    rounds = 1 if quick else 7
    _by_length(report, (1, 2) if quick else (1, 2, 4, 8, 16, 32), 2 if quick else 16, rounds)
    _by_side(report, (7, 14) if quick else (7, 14, 16, 28, 56), 14 if quick else 28, rounds)
    _by_orders(report, (1, 2) if quick else (1, 2, 3, 4), rounds)


def _by_length(report: Report, lengths: tuple, peer_up_to: int, rounds: int) -> None:
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    same, light = blocks.like_peer(), blocks.light()
    found: dict[str, dict[int, float]] = {}
    for length in lengths:
        clip = draw(1, length, 128, 14, 14)
        last = clip.movedim(2, -1).contiguous()
        candidates = {'ours, same sizes': lambda c=clip: same(c),
                      'ours, light': lambda c=clip: light(c)}
        if length <= peer_up_to:
            candidates['vit-pytorch'] = lambda x=last: peer(x)
        for name, time in take_turns(candidates, min(rounds, 3), warm_up=1).items():
            found.setdefault(name, {})[length] = time.median_ms
    _keep(report, 'clip by T', found)


def _by_side(report: Report, sides: tuple, peer_up_to: int, rounds: int) -> None:
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    same, light = blocks.like_peer(), blocks.light()
    found: dict[str, dict[int, float]] = {}
    for side in sides:
        frames = draw(4, 1, 128, side, side)
        candidates = {'ours, same sizes': Stream(same, frames),
                      'ours, light': Stream(light, frames)}
        if side <= peer_up_to:
            candidates['vit-pytorch'] = PeerStream(peer, frames)
        for name, time in take_turns(candidates, min(rounds, 5), warm_up=1).items():
            found.setdefault(name, {})[side] = time.median_ms
    _keep(report, 'step by map size', found)


def _by_orders(report: Report, orders: tuple, rounds: int) -> None:
    frames = draw(4, 1, 128, 14, 14)
    found: dict[str, dict[int, float]] = {}
    for count in orders:
        peer = vit_pytorch.make(128, count, blocks.WINDOW)
        times = take_turns({
            'ours, same sizes': Stream(blocks.like_peer(orders=count), frames),
            'ours, light': Stream(blocks.light(orders=count), frames),
            'vit-pytorch': PeerStream(peer, frames)}, rounds, warm_up=1)
        for name, time in times.items():
            found.setdefault(name, {})[count] = time.median_ms
    _keep(report, 'step by orders', found)


def _keep(report: Report, plot: str, found: dict[str, dict[int, float]]) -> None:
    for label, values in found.items():
        report.curve(plot, label, list(values), list(values.values()))
    rows = [{plot.split()[-1]: x, **{f'{label} ms': values.get(x)
                                     for label, values in found.items()}}
            for x in next(iter(found.values()))]
    report.table(plot, rows)
