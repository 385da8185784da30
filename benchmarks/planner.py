"""Latency and staleness as a planner with GraspScorer sees them, by camera rate and grasps."""

from harness import parse_arguments, Report
from live_camera import cameras, play
from live_nodes import running
from moss_perception.client import Latency
from moss_perception.ros.system.grasp import grasp_system

CASES = ((10.0, 9), (30.0, 1), (30.0, 9), (30.0, 50))


def columns(name: str, delays: Latency) -> dict[str, float]:
    """Return the columns of one kind of delay."""
    return {f'{name} p50 ms': delays.median_s * 1e3, f'{name} p99 ms': delays.p99_s * 1e3,
            f'{name} longest ms': delays.longest_s * 1e3}


def main() -> None:
    """Measure each case with fresh nodes."""
    arguments = parse_arguments(__doc__)
    seconds = 3.0 if arguments.quick else 60.0
    report = Report('planner', arguments, [0])
    values = {'gate': 'false', 'console': 'false',
              **({'model': arguments.model} if arguments.model else {})}
    rows = []
    for rate_hz, grasps in CASES[:1] if arguments.quick else CASES:
        with running(grasp_system(values)), cameras(grasps=grasps) as (camera,):
            delays, = play([camera], rate_hz, seconds)
        rows.append({'camera Hz': rate_hz, 'candidates': grasps, 'scores': len(delays.seconds),
                     **columns('latency', delays.latency),
                     **columns('staleness', delays.staleness)})
    report.table('delays of a planner', rows,
                 'latency: from each proposal, made with the stamp of an image just before it is '
                 'published, until its first scores came; staleness: age of the frame when its '
                 f'scores came; images of 320 x 240 pixels, {seconds:g} s each')
    report.target('staleness p99 with 9 candidates', rows[-2 if len(rows) > 1 else 0][
        'staleness p99 ms'], 'at most', 100, 'ms', 'one period of the shipped model')
    report.finish()


if __name__ == '__main__':
    main()
