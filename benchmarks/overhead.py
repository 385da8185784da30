"""What MOSS adds to a network: operations, weights and time, with and without, in one run."""

import dataclasses

from bare_predictor import arguments_of, BareStep, GRASPS, stepper, WholeStep
import blocks
from harness import parse_arguments, Report
from hosts import Host, hosts
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.moss import attach, MOSS
from timing import take_turns, Times
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

SEED = 0
ORDERS = (1, 2, 3)
# The paper's Table 3 and its abstract, for the host it was measured on there.
PAPER = {'host': "the paper's (ViT-B, 8 frames)", 'MOSS': 'Table 3', 'GFLOP': 148.4,
         'with MOSS': 151.5, 'operations %': 2.1, 'weights MB': 4.2}


def _attention(query, key, value, *_, out_shape=None, **__) -> int:
    return sdpa_flop_count(query, key, value)


def operations(call) -> int:
    """Count floating-point operations, two for each multiplication and addition."""
    # What attention does on a CPU is missing in torch's own list.
    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with FlopCounterMode(display=False, custom_mapping=own) as counter, torch.no_grad():
        call()
    return counter.get_total_flops()


def weight_bytes(module: nn.Module) -> int:
    """Return the bytes of a module's parameters."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def row(name: str, kind: str, counts: tuple[int, int], added_bytes: int,
        times: tuple[Times, Times]) -> dict:
    """Return a row of the table; counts and times are without and with MOSS."""
    before, after = counts
    bare, whole = (time.median_ms for time in times)
    return {'host': name, 'MOSS': kind, 'GFLOP': before / 1e9, 'with MOSS': after / 1e9,
            'operations %': 100 * (after / before - 1), 'weights MB': added_bytes / 1e6,
            'ms': bare, 'with MOSS ms': whole, 'time %': 100 * (whole / bare - 1)}


def measure_host(host: Host, name: str, kind: dict, rounds: int) -> dict:
    """Attach MOSS to a host and measure it with and without."""
    torch.manual_seed(SEED)
    clip = torch.randn(host.feed)
    moss = blocks.randomise(MOSS(host.channels, ORDERS, blocks.WINDOW, **kind))
    # One host cannot be both, so that a twin takes turns with it.
    bare, whole = host.build().eval(), host.build().eval()
    attach(whole, {host.at: moss}, layout=host.layout, **host.options)
    counts = operations(lambda: bare(clip)), operations(lambda: whole(clip))

    def without():
        with torch.inference_mode():
            return bare(clip)

    def with_moss():
        with torch.inference_mode():
            return whole(clip)

    times = take_turns({'without': without, 'with': with_moss}, rounds, warm_up=1)
    return row(host.name, name, counts, weight_bytes(moss), (times['without'], times['with']))


def measure_predictor(network: MossGraspNetwork, threads: int, rounds: int) -> dict:
    """Measure the step of the predictor with and without MOSS, in ONNX Runtime."""
    bare, whole = BareStep(network), WholeStep(network, network.config.orders)
    counts = tuple(operations(lambda step=step: step(*arguments_of(step)))
                   for step in (bare.eval(), whole.eval()))
    times = take_turns({'bare': stepper(bare, threads), 'whole': stepper(whole, threads)}, rounds)
    shares = weight_bytes(network.moss) + weight_bytes(network.shares)
    shares -= weight_bytes(network.moss.out)
    config = network.config
    return row('the shipped predictor, a step (ONNX Runtime)',
               f'orders 1 to {config.orders}, window '
               + ' x '.join(map(str, config.moss_window)), counts, shares,
               (times['bare'], times['whole']))


def main() -> None:
    """Measure."""
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(arguments.threads)
    quick = arguments.quick
    report = Report('overhead', arguments, [SEED])
    rows, kinds = [], {'small': blocks.SMALL_HOST, 'default': {}}
    for host in hosts(quick)[:2 if quick else None]:
        for name, kind in list(kinds.items())[:1 if quick else None]:
            rows.append(measure_host(host, name, kind, 1 if quick else 5))
            if name == 'small' and host.layout.startswith('(NT)'):
                hold(report, rows[-1], quick)
    torch.manual_seed(SEED)
    config = blocks.read_config(arguments.model)
    if quick:
        config = dataclasses.replace(config, orders=1)
    network = blocks.randomise(MossGraspNetwork(config))
    rows.append(measure_predictor(network, arguments.threads, 2 if quick else 40))
    report.target('predictor, time that MOSS adds to a step', rows[-1]['time %'], 'at most', 40,
                  '%', f'operations: +{rows[-1]["operations %"]:.0f} %; {GRASPS} grasps')
    report.table('what MOSS adds', [*rows, PAPER], 'small: ' + ', '.join(
        f'{key} {value}' for key, value in blocks.SMALL_HOST.items())
        + '; orders 1 to 3, window 5 x 9 x 9; GFLOP: two for each multiplication and addition '
        '(the paper counts differently)')
    report.finish()


def hold(report: Report, found: dict, quick: bool) -> None:
    """Hold a host against the targets."""
    for key, wanted, unit in (('operations %', 1.8, '%'), ('weights MB', 4.2, 'MB')):
        report.target(f'{found["host"]}, {found["MOSS"]}: {key.split()[0]} added', found[key],
                      'at most', wanted, unit, 'a small host' if quick else '')


if __name__ == '__main__':
    main()
