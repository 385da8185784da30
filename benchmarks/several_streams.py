"""Two cameras: two processes compared with one process whose streams share an engine."""

import time

from harness import parse_arguments, Report
from live_camera import cameras, Delays, play
from live_nodes import cpu_seconds, running
from moss_perception.ros.system.grasp import grasp_system
from timing import resident_bytes

RATE_HZ = 30.0
NAMES = ('left', 'right')


def measure(one_process: bool, model: str, seconds: float) -> tuple[Delays, float, float]:
    """
    Run two streams.

    :returns: the delays of both, resident memory of the predictors in MiB, and the cores that they
        use.
    """
    values = {'robots': ','.join(NAMES), 'one_process': str(one_process).lower(), 'gate': 'false',
              'console': 'false', **({'model': model} if model else {})}
    with running(grasp_system(values)) as started, cameras([f'/{x}' for x in NAMES]) as made:
        predictors = [x for label, x in started.items() if label.endswith('grasp_predictor')]
        before, begun_s = sum(map(cpu_seconds, predictors)), time.monotonic()
        both = play(made, RATE_HZ, seconds)
        used = (sum(map(cpu_seconds, predictors)) - before) / (time.monotonic() - begun_s)
        memory = sum(resident_bytes(x.pid) for x in predictors) / 2 ** 20
    return Delays([x for delays in both for x in delays.seconds]), memory, used


def main() -> None:
    """Measure in turns."""
    arguments = parse_arguments(__doc__)
    rounds, seconds = (1, 3.0) if arguments.quick else (3, 30.0)
    report = Report('several_streams', arguments, [0])
    kinds = {'two processes': False, 'one process': True}
    found: dict[str, list[tuple[Delays, float, float]]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, one_process in kinds.items():
            found[name].append(measure(one_process, arguments.model, seconds))
    rows = []
    for name, turns in found.items():
        delays = Delays([x for one, *_ in turns for x in one.seconds])
        rows.append({'what': name, **delays.row(),
                     'memory MiB': max(memory for _, memory, _ in turns),
                     'cores': max(used for *_, used in turns)})
    report.table('two streams', rows,
                 f'cameras of 320 x 240 pixels at {RATE_HZ:g} Hz, both at once; delay from the '
                 f'publishing of an image until its scores came; {rounds} rounds of {seconds:g} s '
                 'in turns; threads of an engine as in config/grasp.yaml')
    two, one = rows
    report.target('memory of one process, of that of two', 100 * one['memory MiB']
                  / two['memory MiB'], 'at most', 70, '%')
    report.target('p50 of one process, of that of two', one['p50 ms'] / two['p50 ms'],
                  'at most', 1.5, 'x')
    report.finish()


if __name__ == '__main__':
    main()
