"""``moss demo``: play a recording through the nodes, show the scores and write the results."""

import argparse
import json
import logging
import os
from pathlib import Path
import signal
import sys
from typing import TYPE_CHECKING

from moss_perception.cli.common import add_checkpoint, UsageError
from moss_perception.core.errors import MossError
from moss_perception.core.files import OutputFolder
from moss_perception.core.resources import model_path, share_directory
from moss_perception.core.text import one_line
from moss_perception.models.manifest import read_header
from moss_perception.ros.monitor.access import Access, PORT, TOKEN_VARIABLE
from tqdm import tqdm

if TYPE_CHECKING:
    from moss_perception.cli.demo.nodes import Log, RunSettings
    from moss_perception.cli.demo.source import Source

SAMPLE = 'samples/sim_20'
_WARNINGS = 5
_ENDS = (signal.SIGTERM, signal.SIGHUP)


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss demo``."""
    parser.set_defaults(handler=run_demo)
    parser.add_argument('--out', type=Path, default=Path('out/demo'), metavar='DIR',
                        help='folder for the results (default: %(default)s)')
    played = parser.add_mutually_exclusive_group()
    played.add_argument('--bag', type=Path, metavar='PATH',
                        help='rosbag2 folder, .mcap or .db3 file (default: the sample)')
    played.add_argument('--video', type=Path, metavar='FILE', help='video file, such as an .mp4')
    parser.add_argument('--image-topic', metavar='TOPIC',
                        help='topic of the images in the recording (default: the only one)')
    parser.add_argument('--rate', type=_rate, metavar='R',
                        help='playback speed; 1.0: as recorded (default: in lock step, as fast as '
                             'possible without losing a frame)')
    parser.add_argument('--watch', type=_port, nargs='?', const=PORT, default=0, metavar='PORT',
                        help='open a page that shows the run, which is then played at --rate 1; '
                             f'it is served on this port (default: {PORT})')
    add_checkpoint(parser)
    parser.add_argument('--domain-id', type=_domain, metavar='N',
                        help='ROS_DOMAIN_ID of the run, 0 to 101 (default: from the process id)')
    parser.add_argument('--stall', type=float, default=60.0, metavar='S',
                        help='give up after this many seconds without progress '
                             '(default: %(default)g)')
    parser.add_argument('--verbose', action='store_true', help='show the log lines of the nodes')


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 100:
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0.01 to 100')
    return value


def _port(text: str) -> int:
    # Not 0, any free one: the address is printed before the page is there.
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 1 to 65535')
    return int(text)


def _domain(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 101):
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0 to 101')
    return int(text)


def run_demo(options: argparse.Namespace) -> int:
    """
    Play, watch and write the results.

    :raises UsageError: if the arguments contradict one another.
    :raises MossError: if an input can't be used, or no frame was scored.
    """
    if options.video and options.image_topic:
        raise UsageError('--image-topic goes with --bag: a video has no topics')
    # The terminal shows the table and the results; only warnings and errors are logged.
    logging.getLogger().setLevel(logging.WARNING)
    for number in _ENDS:
        # A command started with nohup outlives its terminal.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    if options.watch:
        options.rate = options.rate or 1.0
        # Before anything starts: the page is a process of its own.
        _page(options.watch).listen().close()
    _show(options)
    return 0


def _page(port: int) -> Access:
    """Return the address of the page, whose process takes its token from the same variable."""
    return Access(port=port, token=os.environ.get(TOKEN_VARIABLE, ''))


def _end(number: int, _: object) -> None:
    """Turn a signal into an exception, which ends the nodes and removes unfinished files."""
    for other in _ENDS:
        # A closing terminal sends it more than once.
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def _show(options: argparse.Namespace) -> None:
    from moss_perception.cli.demo.nodes import choose_domain, Log, RunSettings
    from moss_perception.cli.demo.results import print_summary
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with OutputFolder(options.out, 'cannot write to --out') as folder:
        source = _find_source(options, folder)
        if source.damage:
            print(f'WARNING: {one_line(source.shown)}: {one_line(source.damage)}', flush=True)
        for doubt in source.doubts:
            print(f'WARNING: {one_line(source.shown)}: {one_line(doubt)}', flush=True)
        model, _ = read_header(model_path(options.model))
        domain = choose_domain() if options.domain_id is None else options.domain_id
        # In lock step the scores must not depend on the load of the machine.
        budget = '' if options.rate else model.levels[-1]
        settings = RunSettings(options.rate, options.model, options.sha256, options.stall,
                               domain, budget, options.watch)
        print(f'playing {one_line(source.shown)}: {source.frames} frames of '
              f'{one_line(source.image_topic)}, '
              f'{len(source.attempts)} attempts, {settings.pace}; starting the nodes', flush=True)
        if options.watch:
            print(f'watch it on {_page(options.watch).url(options.watch)}', flush=True)
        log = Log((lambda line: tqdm.write(line, file=sys.stdout)) if options.verbose else None)
        summary = _play(source, settings, log, folder)
        for warning in log.warnings()[:_WARNINGS]:
            print(f'warning of {one_line(warning)}')
        print_summary(summary, folder.publish())


def _find_source(options: argparse.Namespace, folder: OutputFolder) -> 'Source':
    """Open the recording; convert a video to a recording first."""
    from moss_perception.cli.demo.source import open_source, record_video
    if options.video is None:
        return open_source(options.bag or share_directory() / SAMPLE, options.image_topic)
    print(f'reading {options.video}', flush=True)
    recording = folder.scratch('video')
    record_video(options.video, recording)
    return open_source(recording, shown=str(options.video))


def _play(source: 'Source', settings: 'RunSettings', log: 'Log', folder: OutputFolder) -> dict:
    """
    Play a recording, show the scores, and write the results.

    :returns: the contents of summary.json.
    :raises MossError: if playing failed, or no frame was scored.
    """
    from moss_perception.cli.demo.film import Film, write_film
    from moss_perception.cli.demo.nodes import play
    from moss_perception.cli.demo.pictures import draw_contact_sheet, plot_scores
    from moss_perception.cli.demo.results import no_score, Progress, summarise, unfamiliar
    from moss_perception.evaluation.recorded import match
    from moss_perception.ros.observer import Observer
    timing_log = folder.scratch('timing.csv')
    model, _ = read_header(model_path(settings.model))
    film = Film()
    with Observer(settings.domain_id, picture=film.take) as observer:
        progress = Progress(source, observer)
        try:
            play(source, settings, timing_log, observer, progress.tick, log)
            if not observer.scores:
                raise MossError(no_score(source, observer, model))
            progress.finish()
        finally:
            progress.close()
    print('writing the results', flush=True)
    outputs = observer.outputs
    if lost := len(observer.awaited):
        print(f'WARNING: the scores of {lost} frames were published and did not arrive')
    attempts = match(outputs, source.attempts).records()
    summary = summarise(source, outputs, observer.states, attempts, timing_log, settings.pace)
    folder.result('summary.json').write_text(
        json.dumps(summary, indent=2, allow_nan=False) + '\n')
    warning = unfamiliar(summary['out_of_distribution_share'])
    plot_scores(folder.result('scores.png'), source, outputs.scores, attempts, warning)
    draw_contact_sheet(folder.result('contact_sheet.png'), source, outputs.scores, attempts,
                       model.default_point, warning)
    if film.stamps:
        write_film(film, folder.result('film.mp4'), folder.result('film.webp'), attempts,
                   outputs.scores)
    return summary
