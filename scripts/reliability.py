"""
Measure how reliable the package is, and write docs/results/reliability_PART.json.

docs/reliability.md makes its tables from these files.
"""

import argparse
from collections.abc import Callable
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# The parts run beside this file, on the modules of this tree; the machine is described as the
# benchmarks describe theirs.
for folder in (ROOT / 'benchmarks', ROOT):
    sys.path.insert(1, str(folder))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')

RESULTS = ROOT / 'docs' / 'results'
SMALL_RESULTS = ROOT / 'out' / 'reliability'
SEED = 17
# Of each part: what it does, and its sizes: small, as the page has it, and long.
SIZES = {
    'messages': ('generated messages through the entry points of the nodes, in process',
                 (1_000, 100_000, 1_000_000)),
    'dds': ('generated messages over DDS', (500, 5_000, 50_000)),
    'files': ('mutated recordings, checkpoints and tables, each so many', (100, 10_000, 100_000)),
    'frames': ('frames through the predictor', (3_000, 200_000, 1_000_000)),
    'node': ('seconds of images at 30 Hz through the node', (30, 600, 3_600)),
    'load': ('seconds of each stream, for publish to score and for a bare hop', (8, 30, 120)),
    'faults': ('configurations and activations, and the tests that inject faults',
               (10, 100, 1_000)),
    'coverage': ('seconds of coverage-guided fuzzing of each target, by atheris', (10, 60, 3_600)),
    'conformance': ('round through the conformance recordings of MCAP (--mcap DIR)', (1, 1, 1)),
}


def missing(name: str, mcap: Path | None) -> str:
    """Return why a part can't run here; empty if it can."""
    from reliability_parts import conformance, coverage
    if name == 'coverage':
        return coverage.missing()
    return conformance.missing(mcap) if name == 'conformance' else ''


def run_part(name: str, model: str, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one part, and return its figures."""
    from reliability_parts import (
        conformance,
        coverage,
        faults,
        files,
        load,
        messages,
        over_dds,
        soak,
    )
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        'messages': lambda: messages.run(model, size, SEED),
        'dds': lambda: over_dds.run(model, size, SEED),
        'files': lambda: files.run(size, SEED),
        'frames': lambda: soak.frames(model, size),
        'node': lambda: soak.node(model, float(size)),
        'load': lambda: load.run(model, float(size)),
        'faults': lambda: faults.run(model, size, with_tests=not arguments.small),
        'coverage': lambda: coverage.run(float(size), SEED),
        'conformance': lambda: conformance.run(arguments.mcap)}
    return parts[name]()


def write(name: str, arguments: argparse.Namespace, out: Path) -> None:
    """Run a part and write its file, with the machine and the time that it took."""
    from harness import machine, rounded
    from moss_perception.cli.common import write_text
    size = arguments.size or SIZES[name][1][0 if arguments.small else 2 if arguments.long else 1]
    about, began_s = machine(threads=2), time.monotonic()
    print(f'{name}: {size} {SIZES[name][0]}', flush=True)
    figures = run_part(name, str(arguments.model), size, arguments)
    content = {
        'part': name, 'date': datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'small': arguments.small, 'command': f'python scripts/reliability.py {name}' + (
            ' --long' if arguments.long else f' --size {size}' if arguments.size else '') + (
            ' --mcap DIR' if name == 'conformance' else ''),
        'seed': SEED, 'machine': about, 'ros_distro': ros_distribution(),
        'took_s': rounded(time.monotonic() - began_s), 'figures': figures}
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / f'reliability_{name}.json', json.dumps(content, indent=1) + '\n')
    print(json.dumps(figures)[:2000], flush=True)


def ros_distribution() -> str:
    """Name the ROS distribution: the sourced one, or that of the wheels from PyPI."""
    if distribution := os.environ.get('ROS_DISTRO'):
        return distribution
    from importlib.metadata import PackageNotFoundError, version
    for name in ('jazzy', 'kilted'):
        try:
            version(f'ros-{name}-rclpy')
        except PackageNotFoundError:
            continue
        return name
    return 'unknown'


def main() -> int:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__.strip().splitlines()[0],
        epilog='Example: python scripts/reliability.py messages files --small')
    parser.add_argument('parts', nargs='*', metavar='PART', help='parts to run (default: all)')
    parser.add_argument('--list', action='store_true', help='list the parts with their sizes')
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument('--small', action='store_true', help='minutes in all: shows that it runs; '
                       f'writes into {SMALL_RESULTS.relative_to(ROOT)}')
    sizes.add_argument('--long', action='store_true', help='hours in all')
    sizes.add_argument('--size', type=int, metavar='N', help='size of one part, such as the '
                       'seconds of each target of coverage, in place of the one in --list')
    parser.add_argument('--mcap', type=Path, metavar='DIR', help='folder tests/conformance/data '
                        'of a clone of https://github.com/foxglove/mcap, for conformance')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of the files '
                        f'(default: {RESULTS.relative_to(ROOT)})')
    parser.add_argument('--model', type=Path, default=ROOT / 'models' / 'grasp_moss.safetensors',
                        metavar='FILE', help='checkpoint (default: the shipped one)')
    arguments = parser.parse_args()
    if arguments.list:
        for name, (about, (small, usual, long)) in SIZES.items():
            print(f'{name:11} {about}: {usual} (--small {small}, --long {long})')
        return 0
    if unknown := set(arguments.parts) - set(SIZES):
        parser.error(f'unknown part {sorted(unknown)[0]}: expected {", ".join(SIZES)}')
    if arguments.size is not None and (len(arguments.parts) != 1 or arguments.size < 1):
        parser.error(f'--size {arguments.size} for {len(arguments.parts)} parts: expected one '
                     'part, and at least 1')
    lacking = {x: why for x in arguments.parts or SIZES if (why := missing(x, arguments.mcap))}
    for name, why in lacking.items():
        print(f'{name}: not run: {why}', file=sys.stderr, flush=True)
    if lacking.keys() & set(arguments.parts):
        return 1
    names = arguments.parts or [x for x in SIZES if x not in lacking]
    if len(names) > 1:
        # Each in a process of its own: what one part has taken is not the growth of the next.
        options = [x for x in sys.argv[1:] if x not in arguments.parts]
        return max(subprocess.run([sys.executable, __file__, name, *options]).returncode
                   for name in names)
    write(names[0], arguments, arguments.out or (SMALL_RESULTS if arguments.small else RESULTS))
    return 0


if __name__ == '__main__':
    sys.exit(main())
