"""How near MOSS is to its floor at the peers' sizes: the 3 x 3 convolutions that both have."""

from collections.abc import Callable
import sys

import blocks
from harness import parse_arguments, Report
from moss_step import clip_of, frames_of, training_step
from peers import authors_block, vit_pytorch
import profiles
import setup_peers
from streams import PeerStream, Stream
from timing import ratio, take_turns
import torch
from torch import nn, Tensor

SEED = 0


def convolutions(module: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, Tensor]]:
    """Run a module once, and return its 3 x 3 convolutions with what each was given."""
    found: list[tuple[nn.Conv2d, Tensor]] = []
    hooks = [part.register_forward_pre_hook(
        lambda conv, given: found.append((conv, given[0].detach().clone())))
        for part in module.modules()
        if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)]
    run()
    for hook in hooks:
        hook.remove()
    return found


def forward_alone(found: list[tuple[nn.Conv2d, Tensor]]) -> Callable[[], object]:
    """Return what computes the convolutions by themselves."""
    return lambda: [conv(given) for conv, given in found]


def training_alone(found: list[tuple[nn.Conv2d, Tensor]]) -> Callable[[], object]:
    """Return what also computes their gradients."""
    def run():
        for conv, given in found:
            out = conv(given.requires_grad_())
            torch.autograd.grad(out, [given, *conv.parameters()], torch.ones_like(out))
    return run


def multiplications(found: list[tuple[nn.Conv2d, Tensor]]) -> int:
    """Count the multiplications of the convolutions, forward."""
    return sum(given.numel() // given.shape[1] * conv.weight.numel() for conv, given in found)


def workloads(quick: bool) -> dict[str, tuple]:
    """Return by name: ours, what runs it, the peer, and whether it trains."""
    length, centred, trained = (2, 2, 2) if quick else (16, 8, 16)
    causal, conv = blocks.like_peer(), blocks.like_peer(causal=False, learning='conv')
    training = blocks.like_peer(64, 3).train()
    peer = vit_pytorch.make(128, 2, blocks.WINDOW)
    theirs = authors_block.AuthorsBlock(128, 128).eval()
    clip, middle, lesson = clip_of(length), clip_of(centred), clip_of(trained, 64)
    last = [x.movedim(2, -1).contiguous() for x in (clip, middle, lesson)]
    return {
        'step': (causal, Stream(causal, frames_of(8)), PeerStream(peer, frames_of(8)), False),
        f'clip, T={length}': (causal, lambda: causal(clip), lambda: peer(last[0]), False),
        f"centred clip, T={centred}, the authors' block": (
            conv, lambda: conv(middle), lambda: theirs(last[1]), False),
        f'training, T={trained}': (training, training_step(training, lesson), training_step(
            vit_pytorch.make(64, 3, blocks.WINDOW).train(), last[2]), True)}


def measure(report: Report, quick: bool) -> dict[str, float]:
    """
    Time each whole, its convolutions by themselves, and the peer, in turns.

    :returns: how many times as fast as the peer each of ours is.
    """
    rows, square = [], torch.randn(1024, 1024)
    for name, (module, run, peer, trains) in workloads(quick).items():
        with torch.set_grad_enabled(trains):
            found = convolutions(module, run)
            alone = training_alone(found) if trains else forward_alone(found)
            times = take_turns({'ours': run, 'alone': alone, 'peer': peer,
                                'square': lambda: square @ square},
                               rounds=1 if quick else 7, warm_up=1)
        ours, least = times['ours'].median_ms, times['alone'].median_ms
        passes = 3 if trains else 1  # backward: by what was given, and by the weights
        product = times['square'].median_ms * passes * multiplications(found) / 1024 ** 3
        rows.append({'what': name, 'ours ms': ours, 'convolutions ms': least,
                     'share %': 100 * least / ours, 'as one product ms': product,
                     'peer ms': times['peer'].median_ms,
                     'times as fast': ratio(times['peer'], times['ours'])[0],
                     'at the floor': ratio(times['peer'], times['alone'])[0]})
    report.table('the floor at the same sizes', rows,
                 'convolutions: the 3 x 3 of ours by themselves, with what the whole gives them; '
                 'as one product: as many multiplications in square matrices; at the floor: how '
                 'many times as fast ours would be if nothing else took time')
    return {row['what']: row['times as fast'] for row in rows}


def measure_kinds(report: Report, quick: bool, times_as_fast: dict[str, float]) -> None:
    """
    Profile ours by kind of operation.

    :param times_as_fast: from :func:`measure`.
    """
    rows = {}
    for name, (_, run, _, trains) in workloads(quick).items():
        often = (5 if quick else 100) if name == 'step' else 2 if quick else 20
        with torch.set_grad_enabled(trains):
            rows[name] = profiles.eager(name, run, often)
    report.table('profile by kind of operation', [x for one in rows.values() for x in one],
                 f'eager torch; {profiles.NOTE}')
    shares = {what: sum(row['share %'] for row in one if row['kind'] in (
        profiles.CONVOLUTIONS, profiles.PRODUCTS)) for what, one in rows.items()}
    report.table('the floor with the matrix products', [
        {'what': what, 'convolutions and products %': share,
         'times as fast': times_as_fast[what],
         'at this floor': 100 * times_as_fast[what] / share} for what, share in shares.items()],
        'at this floor: how many times as fast ours would be if only its convolutions and its '
        'matrix products took time, by their share of the profile')


def main() -> int:
    """Measure; the peers are installed first, if they are not there."""
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    if failed := setup_peers.main():
        return failed
    report = Report('floor', arguments, [SEED])
    measure_kinds(report, arguments.quick, measure(report, arguments.quick))
    report.finish()
    return 0


if __name__ == '__main__':
    sys.exit(main())
