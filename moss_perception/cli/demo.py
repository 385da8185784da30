"""The command `demo`: plays a recording through the nodes and shows what they make of it."""

import argparse
import json
import logging
import os
from pathlib import Path
import signal
import sys
from typing import Any

from moss_perception.cli.demo_output import OutputFolder
from moss_perception.cli.demo_pictures import draw_contact_sheet, plot_scores
from moss_perception.cli.demo_progress import Progress
from moss_perception.cli.demo_recording import open_source, record_video, Source
from moss_perception.cli.demo_run import choose_domain, Log, play, RunSettings
from moss_perception.cli.demo_summary import summarise
from moss_perception.core.errors import MossError
from moss_perception.core.resources import model_path, share_directory
from moss_perception.models.config import GraspConfig
from moss_perception.models.manifest import read_header
from moss_perception.ros.evaluator.observer import Observer
from tqdm import tqdm

SAMPLE = 'samples/sim_20'
_WARNINGS = 5
_ENDS = (signal.SIGTERM, signal.SIGHUP)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog='demo', description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('out/demo'), metavar='DIR',
                        help='where to leave the results (default: %(default)s)')
    played = parser.add_mutually_exclusive_group()
    played.add_argument('--bag', type=Path, metavar='PATH',
                        help='a rosbag2: folder, .mcap or .db3 file (default: the sample)')
    played.add_argument('--video', type=Path, metavar='FILE', help='a video, such as an .mp4')
    parser.add_argument('--image-topic', metavar='NAME',
                        help='which images of the recording (default: the only ones)')
    parser.add_argument('--rate', type=_rate, metavar='R',
                        help='play in time, 1.0 is as recorded (default: in lock step, nothing '
                             'is lost, as fast as the machine goes)')
    parser.add_argument('--model', default='', metavar='PATH',
                        help='checkpoint (default: the shipped one)')
    parser.add_argument('--sha256', default='', metavar='HEX',
                        help="the checkpoint's digest (default: from SHA256SUMS beside it)")
    parser.add_argument('--domain-id', type=_domain, metavar='N',
                        help='ROS_DOMAIN_ID of the run, 0 to 101 (default: one of its own)')
    parser.add_argument('--stall', type=float, default=60.0, metavar='S',
                        help='give up after so many seconds without progress '
                             '(default: %(default)s)')
    parser.add_argument('--verbose', action='store_true', help='show what the nodes say')
    options = parser.parse_args(argv)
    if options.video and options.image_topic:
        parser.error('--image-topic goes with --bag: a video has no topics')
    return options


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 100:
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0.01 to 100')
    return value


def _domain(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 101):
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0 to 101')
    return int(text)


def run(options: argparse.Namespace) -> None:
    """
    Play, watch and write the results.

    :raises MossError: if something given can't be used, or no score came of it.
    """
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with OutputFolder(options.out) as folder:
        source = find_source(options, folder)
        model, _ = read_header(model_path(options.model))
        domain = choose_domain() if options.domain_id is None else options.domain_id
        # In lock step the scores must not depend on how busy the machine is.
        orders = '' if options.rate else ','.join(map(str, range(1, model.orders + 1)))
        settings = RunSettings(
            options.rate, options.model, options.sha256, options.stall, domain, orders)
        pace = f'rate {options.rate:g}' if options.rate else 'lock step'
        print(f'playing {source.shown}: {source.frames} frames of {source.image_topic}, '
              f'{len(source.attempts)} attempts, {pace}; starting the nodes', flush=True)
        log = Log((lambda line: tqdm.write(line, file=sys.stdout)) if options.verbose else None)
        summary = watch(source, settings, model, log, folder, pace)
        for warning in log.warnings()[:_WARNINGS]:
            print(f'warning of {warning}')
        report(summary, folder.publish())


def watch(source: Source, settings: RunSettings, model: GraspConfig, log: Log,
          folder: OutputFolder, pace: str) -> dict[str, Any]:
    """
    Play a recording, show what comes of it, and write the results.

    :param model: the checkpoint's configuration.
    :param pace: how it is played, in words.
    :returns: what summary.json holds.
    :raises MossError: if it wasn't played to the end, or no score came of it.
    """
    timing_log = folder.scratch('timing.csv')
    with Observer(settings.domain_id) as observer:
        progress = Progress(source, observer)
        try:
            play(source, settings, timing_log, observer, progress.tick, log)
            if not observer.scores:
                raise MossError(no_score(source, observer, model))
            progress.finish()
        finally:
            progress.close()
    print('writing the results', flush=True)
    attempts, heard = progress.attempts, observer.scores
    summary = summarise(source, observer, attempts, timing_log, pace)
    folder.result('summary.json').write_text(
        json.dumps(summary, indent=2, allow_nan=False) + '\n')
    plot_scores(folder.result('scores.png'), source, heard, attempts)
    draw_contact_sheet(folder.result('contact_sheet.png'), source, heard, attempts,
                       model.default_point)
    return summary


def find_source(options: argparse.Namespace, folder: OutputFolder) -> Source:
    """Find what is to be played; a video becomes a recording first."""
    if options.video is None:
        path = options.bag or share_directory() / SAMPLE
        return open_source(path, options.image_topic)
    print(f'reading {options.video}', flush=True)
    recording = folder.scratch('video')
    record_video(options.video, recording)
    return open_source(recording, shown=str(options.video))


def no_score(source: Source, observer: Observer, model: GraspConfig) -> str:
    """Say why no score came."""
    kinds = [kind for _, kind in observer.fates]
    counts = ', '.join(f'{kinds.count(kind)} {kind}' for kind in dict.fromkeys(kinds))
    dropped = observer.diagnostics.get('dropped', '0')
    if dropped != '0':
        counts += f'; {dropped} dropped, being too fast for this machine: lower --rate'
    refusal = observer.diagnostics.get('last_refusal')
    if refusal and set(kinds) == {'refused'}:
        return f'{source.shown}: all {len(kinds)} frames were refused, the last: {refusal}'
    if refusal:
        counts += f'; the last refusal: {refusal}'
    return (f'{source.shown}: no score of {source.frames} frames ({counts or "none arrived"}): '
            f'expected {model.window_frames} samples at {model.frame_rate_hz:g} Hz without '
            'a gap to fill the window')


def report(summary: dict[str, Any], written: list[Path]) -> None:
    """Print the figures and where the results are."""
    frames, latency = summary['frames'], summary['latency']
    print('frames: ' + ', '.join(
        f'{count} {kind}' for kind, count in frames.items() if count is not None))
    value = summary['auroc']
    print(f'AUROC: {"-" if value is None else f"{value:.3f}"} ({summary["auroc_note"]})')
    print(f'published to scored: p50 {latency["p50_ms"]} ms, p95 {latency["p95_ms"]} ms '
          f'on {summary["machine"]["cpu"]}')
    for path in written:
        print(f'wrote {path}')


def end(number: int, _: object) -> None:
    """End by an exception at a signal, which ends the nodes and takes away what is unfinished."""
    for other in _ENDS:
        # A terminal that closes sends it more than once.
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main(argv: list[str] | None = None) -> int:
    """
    Run the command.

    :param argv: arguments; ``None`` for the process's own.
    :returns: exit status: 0, 1 on a known error, 130 if interrupted.
    """
    options = parse(argv)
    logging.basicConfig(format='demo: %(message)s', level=logging.WARNING)
    for number in _ENDS:
        # What was started with nohup is to outlive its terminal.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
    try:
        run(options)
    except MossError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('demo: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
