"""``moss record`` and ``moss clips``: write training data and recordings."""

import argparse
from contextlib import closing, nullcontext
from functools import partial
import logging
import os
from pathlib import Path

from moss_perception.cli.common import add_executor, UsageError, write_bytes
from moss_perception.core.parallel import is_shared, PROCESSES
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header
from tqdm import tqdm

# Scenes of a data set and of a picture by default; pictures in a row.
_SCENES, _PICTURED, _COLUMNS = 400, 8, 4


def add_record(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss record``."""
    parser.set_defaults(handler=record)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--out', metavar='DIR', help='write training data (shards) to this folder')
    target.add_argument('--bag', metavar='DIR', help='write a recording (rosbag2) to this folder')
    target.add_argument('--picture', type=Path, metavar='FILE.png',
                        help='draw the images at the decision of some scenes, to look at a cell')
    for name, default, help_text in (
            ('scenes', None, 'number of scenes for --out (default: 400) or --picture (8)'),
            ('attempts', 20, 'number of attempts for --bag'),
            ('seed', 0, 'seed of the first scene'),
            ('workers', 1, 'number of processes')):
        parser.add_argument(f'--{name}', type=int, default=default, metavar='N',
                            help=help_text if default is None else
                            f'{help_text} (default: %(default)s)')
    add_executor(parser)
    parser.set_defaults(executor=PROCESSES)
    parser.add_argument('--cell', default='full', metavar='NAME',
                        help='cell of the scenes: belt, full, or the path of a cell file, such '
                             'as config/cells/oblique_table.yaml (default: %(default)s)')
    parser.add_argument('--domain', default='sim', metavar='NAME',
                        help='appearance and physics of the scenes: sim, shifted or, with --cell '
                             'full, randomised or shifted.FACTOR, such as shifted.visual '
                             '(default: %(default)s)')
    parser.add_argument('--split', default='', metavar='NAME',
                        help='held_out: only the objects that are never used in training '
                             '(default: only the training objects)')
    parser.add_argument('--motion', default='', metavar='NAME',
                        help='only this kind of motion (default: all kinds)')
    parser.add_argument('--rate', type=float, default=10.0, metavar='HZ',
                        help='frames per second of --bag (default: %(default)g)')
    parser.add_argument('--candidates', type=int, default=0, metavar='N',
                        help='with --out: candidates of each scene (default: as the cell has)')
    latencies = parser.add_mutually_exclusive_group()
    latencies.add_argument('--latencies', type=float, nargs='+', metavar='S',
                           help='with --out: execute each candidate also at these latencies in '
                                'seconds, ascending (default: only at that of the cell)')
    latencies.add_argument('--latency-draws', type=int, metavar='N',
                           help='with --out: execute each candidate also at this number of '
                                'latencies, drawn for each scene from 0 to 0.3 s')


def record(arguments: argparse.Namespace) -> int:
    """
    Record scenes or a recording.

    :raises UsageError: if latencies are given for a recording, which executes one grasp.
    :raises MossError: if a setting is not allowed, or rendering or writing fails.
    """
    from moss_perception.simulation.scene import Source
    if not arguments.out and (arguments.latencies, arguments.latency_draws) != (None, None):
        raise UsageError('--latencies and --latency-draws need --out: a recording executes one '
                         'grasp of each scene, and a picture none')
    if arguments.bag and arguments.candidates:
        raise UsageError('--candidates needs --out: a recording has the candidates of its cell')
    log = logging.getLogger('record')
    source = Source(arguments.cell, arguments.domain, arguments.split, arguments.motion)
    source.sample(max(arguments.seed, 0))
    if arguments.picture:
        return _draw(arguments, source, log)
    skipped = (_write_recording if arguments.bag else _write_shards)(arguments, source, log)
    if skipped:
        log.warning('%d scenes were left out: %s', sum(skipped.values()), ', '.join(
            f'{count} {reason}' for reason, count in sorted(skipped.items())))
    return 0


def _draw(arguments, source, log: logging.Logger) -> int:
    from moss_perception.simulation.drawing import contact_sheet
    from moss_perception.simulation.renderer import Renderer
    count = _PICTURED if arguments.scenes is None else arguments.scenes
    with closing(Renderer()) as renderer:
        write_bytes(arguments.picture, contact_sheet(
            renderer, [source], count, arguments.seed, _COLUMNS))
    log.info('%d scenes in %s', count, arguments.picture)
    return 0


def _write_recording(arguments, source, log: logging.Logger) -> dict[str, int]:
    from moss_perception.data.bags.writer import RecordingWriter
    from moss_perception.simulation.recording import record
    from moss_perception.simulation.renderer import Renderer
    # Workers create their own renderers.
    shared = is_shared(arguments.workers, arguments.executor)
    with nullcontext() if shared else closing(Renderer()) as renderer, \
            RecordingWriter(arguments.bag) as writer:
        done = record(writer, renderer, arguments.attempts, arguments.seed, source,
                      arguments.rate, workers=arguments.workers,
                      executor=arguments.executor)
    log.info('%d attempts in %s, %d of them successful', done.attempts, arguments.bag,
             done.successes)
    return done.skipped


def _write_shards(arguments, source, log: logging.Logger) -> dict[str, int]:
    from moss_perception.simulation.attempt import Latencies
    from moss_perception.simulation.generate import generate
    latencies = Latencies(tuple(arguments.latencies or ()))
    if arguments.latency_draws is not None:
        latencies = Latencies(draws=arguments.latency_draws)
    scenes = _SCENES if arguments.scenes is None else arguments.scenes
    made = generate(arguments.out, scenes, arguments.seed, arguments.workers, source,
                    latencies=latencies, candidates=arguments.candidates,
                    executor=arguments.executor)
    log.info('%d scenes in %s; %d simulated now, %.2f per second', made.scenes, arguments.out,
             made.played, made.scenes_per_s)
    return made.skipped


def add_clips(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss clips``."""
    parser.set_defaults(handler=write_clips)
    parser.description = (parser.description or '') + (
        ' moss evaluate, moss demo and the nodes read the result. Unusable clips are left out and '
        'listed.')
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='folder of the clips')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the recording to write')
    parser.add_argument('--outcomes', type=Path, metavar='FILE',
                        help='table, CSV or XLSX: columns clip and success; optional: start, '
                             "decision and end (seconds since the clip's first image), domain, "
                             'object')
    parser.add_argument('--unlabelled', action='store_true',
                        help='include clips without a row; they get no outcome')
    parser.add_argument('--domain', default='real', metavar='NAME',
                        help='domain of clips without one in the CSV file (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=0.0, metavar='HZ',
                        help='keep at most this many images per second (default: all)')
    parser.add_argument('--clip-rate', type=float, default=0.0, metavar='HZ',
                        help='actual frame rate of the clips, if their timestamps are wrong')
    parser.add_argument('--pause', type=float, default=1.2, metavar='S',
                        help='pause between two clips in seconds (default: %(default)s)')
    parser.add_argument('--max-side', type=int, default=640, metavar='PIXELS',
                        help='scale larger images down to this longest side '
                             '(default: %(default)s)')
    parser.add_argument('--calibration', type=Path, metavar='FILE.yaml',
                        help="calibration of the camera, as written by ROS's camera_calibration")
    parser.add_argument('--jitter', type=float, default=0.0, metavar='S',
                        help='add noise with this standard deviation to the stamps, in seconds '
                             '(default: none)')
    parser.add_argument('--drops', type=float, default=0.0, metavar='SHARE',
                        help='drop this share of the images, 0 to 1 (default: none)')
    parser.add_argument('--seed', type=int, default=0, metavar='N',
                        help='seed of jitter and drops (default: %(default)s)')


def write_clips(arguments: argparse.Namespace) -> int:
    """
    Write the recording and log its contents and the clips left out.

    :raises UsageError: if neither ``--outcomes`` nor ``--unlabelled`` is given.
    :raises MossError: if the recording can't be written.
    """
    if arguments.outcomes is None and not arguments.unlabelled:
        raise UsageError('expected --outcomes FILE.csv, or --unlabelled')
    # We log an unreadable clip in one line; FFmpeg would add several that don't name it.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    from moss_perception.data.clips.frames import Disturbance
    from moss_perception.data.clips.importer import ClipSettings, write_bag
    from moss_perception.data.clips.inputs import match_clips, read_calibration, read_rows
    model, _ = read_header(model_path(''))
    settings = ClipSettings(
        domain=arguments.domain, pause_s=arguments.pause, clip_hz=arguments.clip_rate,
        rate_hz=arguments.rate, side=arguments.max_side,
        disturbance=Disturbance(arguments.jitter, arguments.drops, arguments.seed),
        calibration=arguments.calibration and read_calibration(arguments.calibration),
        window_s=(model.window_frames - 1) / model.frame_rate_hz)
    rows = read_rows(arguments.outcomes) if arguments.outcomes else []
    clips = match_clips(arguments.folder, rows, arguments.unlabelled)
    done = write_bag(arguments.out, clips, settings, partial(
        tqdm, unit='clip', leave=False, disable=None))
    _log_clips(arguments.out, done, settings.window_s)
    return 0


def _log_clips(path: Path, done, window_s: float) -> None:
    """Log what :func:`moss_perception.data.clips.importer.write_bag` returns."""
    from moss_perception.data.clips.inputs import shorten
    log = logging.getLogger('clips')
    dropped = f', {done.dropped} dropped' if done.dropped else ''
    log.info('%d clips, %d images%s in %s: %d attempts, %d of them successful%s', done.clips,
             done.images, dropped, path, done.attempts, done.successes, ''.join(
                 f'; {count} in {name}' for name, count in sorted(done.domains.items())))
    if done.guessed:
        log.warning('%d attempts have no decision time in the CSV file: their end is used '
                    'instead, so their scores may use images that already show the '
                    'outcome', done.guessed)
    if done.early:
        log.warning('%d decisions are earlier than %g s after the first image, the time that the '
                    'shipped model needs before its first score: %s', len(done.early), window_s,
                    shorten(done.early))
    if done.clips > done.attempts:
        log.warning('%d clips without an outcome', done.clips - done.attempts)
    if done.left_out:
        log.warning('%d clips were left out: %s', len(done.left_out), shorten(done.left_out))
