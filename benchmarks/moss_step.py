"""MOSS against its peers: a step, a clip, training, and its kernels against the product."""

import json
import sys

import blocks
import curves
from harness import parse_arguments, Report
from peers import authors_block, vit_pytorch
import setup_peers
from streams import onnx_stream, PeerStream, Stream
from timing import in_own_process, peak_bytes, ratio, short, take_turns, Times
import torch
from torch import nn, Tensor

SEED = 0
SIDE = 14


def frames_of(count: int, channels: int = 128, side: int = SIDE) -> Tensor:
    """Draw frames of features, shape ``(count, 1, C, side, side)``."""
    return torch.randn(count, 1, channels, side, side,
                       generator=torch.Generator().manual_seed(SEED))


def compare(report: Report, title: str, times: dict[str, Times], against: str,
            note: str = '') -> None:
    """Print a table of times, and how many times as fast as one of them each is."""
    rows = []
    for name, found in times.items():
        row = found.row(name)
        times_as_fast, low, high = ratio(times[against], found)
        row |= {'times as fast': times_as_fast, 'rounds': f'{short(low)} to {short(high)}'}
        rows.append(row)
    report.table(title, rows, note)


def compiled(stream: Stream) -> Stream | None:
    """Compile a stream's step; ``None`` where there is no compiler or it fails."""
    other = stream.compiled()
    try:
        other()
    except Exception as error:  # noqa: BLE001 (any error of the compiler is reported)
        print(f'torch.compile: not measured ({type(error).__name__}: '
              f'{str(error).splitlines()[0][:120]})')
        return None
    return other


def measure_step(report: Report, quick: bool, threads: int) -> None:
    """Time one cached step of each."""
    frames = frames_of(8)
    same, light = blocks.like_peer(), blocks.light()
    candidates = {
        'vit-pytorch, cached step': PeerStream(
            vit_pytorch.make(128, 2, blocks.WINDOW), frames),
        'ours, same sizes': Stream(same, frames),
        'ours, light': Stream(light, frames),
    }
    if not quick:
        for name, moss in (('same sizes', same), ('light', light)):
            candidates[f'ours, {name}, ONNX Runtime'] = onnx_stream(moss, frames, threads)
            faster = compiled(Stream(moss, frames))
            if faster:
                candidates[f'ours, {name}, torch.compile'] = faster
    times = take_turns(candidates, rounds=2 if quick else 25)
    peer = 'vit-pytorch, cached step'
    compare(report, 'one step (C=128, 14 x 14, window 5 x 9 x 9, orders 1 and 2)', times, peer,
            'eager torch unless stated otherwise; light: '
            + ', '.join(f'{key} {value}' for key, value in blocks.LIGHT.items()))
    for name, wanted in (('ours, same sizes', 20), ('ours, same sizes, ONNX Runtime', 20),
                         ('ours, light', 40)):
        if name in times:
            report.target(f'step, {name} against vit-pytorch', ratio(times[peer], times[name])[0],
                          'at least', wanted, 'x')


def clip_of(frames: int, channels: int = 128) -> Tensor:
    """Draw a clip of features, shape ``(1, T, C, 14, 14)``."""
    return frames_of(frames, channels).transpose(0, 1).contiguous()


def clip_candidates(length: int) -> dict:
    """Return what computes a clip, by name."""
    clip = clip_of(length)
    last = clip.movedim(2, -1).contiguous()
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    same, light = blocks.like_peer(), blocks.light()
    return {'vit-pytorch, clip': lambda: peer(last), 'ours, same sizes': lambda: same(clip),
            'ours, light': lambda: light(clip)}


@torch.inference_mode()
def measure_clip(report: Report, quick: bool) -> None:
    """Time a clip of 16 frames, and measure the memory it takes at its highest."""
    length = 4 if quick else 16
    times = take_turns(clip_candidates(length), rounds=1 if quick else 5, warm_up=1)
    peer = 'vit-pytorch, clip'
    compare(report, f'a clip (T={length})', times, peer)
    for name in ('ours, same sizes', 'ours, light'):
        report.target(f'clip T=16, {name} against vit-pytorch',
                      ratio(times[peer], times[name])[0], 'at least', 20, 'x')
    rows, peaks = [], {}
    for name in times:
        # A separate process has no memory yet that could be used again; to see that it runs, this
        # one will do.
        mib = peak_mib(name, length) if quick else in_own_process(
            __file__, '--peak', name)['mib']
        peaks[name] = mib
        rows.append({'what': name, 'peak MiB': mib, 'share of the peer': mib / peaks[peer]})
    report.table(f'peak memory of a clip (T={length})', rows,
                 'peak resident memory (VmHWM) of a separate process, minus that after the first '
                 'frame')
    for name in ('ours, same sizes', 'ours, light'):
        report.target(f'clip T=16, peak memory, {name}, share of vit-pytorch',
                      peaks[name] / peaks[peer], 'at most', 0.1, 'x')


@torch.inference_mode()
def peak_mib(name: str, length: int = 16) -> float:
    """Return the peak memory of one clip, in this process, after a first frame."""
    clip_candidates(1)[name]()
    return peak_bytes(clip_candidates(length)[name]) / 2 ** 20


@torch.inference_mode()
def measure_centred(report: Report, quick: bool) -> None:
    """Time the authors' centred block, and ours with a centred window."""
    parameters = authors_block.check_size()
    length = 2 if quick else 8
    clip = clip_of(length)
    last = clip.movedim(2, -1).contiguous()
    theirs = authors_block.AuthorsBlock(128, 128).eval()
    conv = blocks.like_peer(causal=False, learning='conv')
    shared = blocks.like_peer(causal=False)
    light = blocks.light(causal=False)
    times = take_turns({
        "the authors' block": lambda: theirs(last),
        'ours, same sizes': lambda: conv(clip),
        'ours, linear over the offsets': lambda: shared(clip),
        'ours, light': lambda: light(clip)}, rounds=1 if quick else 15, warm_up=1)
    peer = "the authors' block"
    compare(report, f'a centred clip (T={length})', times, peer,
            f"the authors' block has {parameters} parameters at their sizes, as published; here "
            'it has 128 channels in and out')
    for name in ('ours, same sizes', 'ours, light'):
        report.target(f"centred clip T=8, {name} against the authors' block",
                      ratio(times[peer], times[name])[0], 'at least', 3, 'x')


def training_step(module: nn.Module, clip: Tensor):
    """Return what runs a forward and a backward pass."""
    parameters = [p for p in module.parameters() if p.requires_grad]

    def run():
        features = clip.clone().requires_grad_()
        torch.autograd.grad(module(features).square().mean(), [features, *parameters])
    return run


def measure_training(report: Report, quick: bool) -> None:
    """Time forward and backward of a clip of 16 frames, orders 1 to 3."""
    length = 3 if quick else 16
    clip = clip_of(length, 64)
    candidates = {
        'vit-pytorch': training_step(vit_pytorch.make(64, 3, blocks.WINDOW).train(),
                                     clip.movedim(2, -1).contiguous()),
        'ours, same sizes': training_step(blocks.like_peer(64, 3).train(), clip),
        'ours, light': training_step(blocks.light(64, 3).train(), clip),
    }
    times = take_turns(candidates, rounds=1 if quick else 5, warm_up=1)
    compare(report, f'training (T={length}, C=64, 14 x 14, orders 1 to 3)', times, 'vit-pytorch',
            'forward and backward of one clip')
    for name in ('ours, same sizes', 'ours, light'):
        report.target(f'training T=16, {name} against vit-pytorch',
                      ratio(times['vit-pytorch'], times[name])[0], 'at least', 10, 'x')


def main() -> int:
    """Measure; the peers are installed first, if they are not there."""
    arguments = parse_arguments(__doc__, ('--peak', {'metavar': 'NAME', 'help': (
        'only print the peak memory of this clip, in MiB')}))
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    if arguments.peak:
        print(json.dumps({'mib': peak_mib(arguments.peak)}))
        return 0
    if failed := setup_peers.main():
        return failed
    report, quick = Report('moss_step', arguments, [SEED]), arguments.quick
    measure_step(report, quick, arguments.threads)
    measure_clip(report, quick)
    measure_centred(report, quick)
    measure_training(report, quick)
    curves.measure_kernels(report, quick)
    curves.measure_growth(report, quick)
    report.finish()
    return 0


if __name__ == '__main__':
    sys.exit(main())
