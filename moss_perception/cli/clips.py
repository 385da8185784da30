"""``moss clips``: turn a folder of video clips into a recording with grasp outcomes."""

import argparse
from functools import partial
import logging
import os
from pathlib import Path

from moss_perception.cli.common import UsageError
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header
from tqdm import tqdm

_LOG = logging.getLogger('clips')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (parser.description or '') + (
        ' moss evaluate, moss demo and the nodes read the result. Unusable clips are left out and '
        'listed.')
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='folder of the clips')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the recording to write')
    parser.add_argument('--outcomes', type=Path, metavar='FILE.csv',
                        help='columns clip, success, and if known start, decision and end '
                             "(seconds since the clip's first image), domain, object")
    parser.add_argument('--unlabelled', action='store_true',
                        help='include clips without a row; they get no outcome')
    parser.add_argument('--domain', default='real',
                        help='domain of clips without one in the CSV file (%(default)s)')
    parser.add_argument('--rate', type=float, default=0.0, metavar='HZ',
                        help='keep at most this many images a second (default: all)')
    parser.add_argument('--clip-rate', type=float, default=0.0, metavar='HZ',
                        help='actual frame rate of the clips, if their timestamps are wrong')
    parser.add_argument('--pause', type=float, default=1.2, metavar='S',
                        help='pause between two clips in seconds (%(default)s)')
    parser.add_argument('--side', type=int, default=640, metavar='PIXELS',
                        help='longest side of the images; larger ones are scaled down '
                             '(%(default)s)')
    parser.add_argument('--calibration', type=Path, metavar='FILE.yaml',
                        help="calibration of the camera, as written by ROS's camera_calibration")
    parser.add_argument('--jitter', type=float, default=0.0, metavar='S',
                        help='add noise with this standard deviation to the stamps, in seconds')
    parser.add_argument('--drops', type=float, default=0.0, metavar='SHARE',
                        help='drop this share of the images, 0 to 1')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of jitter and drops (%(default)s)')


def run(arguments: argparse.Namespace) -> int:
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
        rate_hz=arguments.rate, side=arguments.side,
        disturbance=Disturbance(arguments.jitter, arguments.drops, arguments.seed),
        calibration=arguments.calibration and read_calibration(arguments.calibration),
        window_s=(model.window_frames - 1) / model.frame_rate_hz)
    rows = read_rows(arguments.outcomes) if arguments.outcomes else []
    clips = match_clips(arguments.folder, rows, arguments.unlabelled)
    done = write_bag(arguments.out, clips, settings, partial(
        tqdm, unit='clip', leave=False, disable=None))
    tell(arguments.out, done, settings.window_s)
    return 0


def tell(path: Path, done, window_s: float) -> None:
    """Log what :func:`moss_perception.data.clips.importer.write_bag` returns."""
    from moss_perception.data.clips.inputs import shorten
    dropped = f', {done.dropped} dropped' if done.dropped else ''
    _LOG.info('%d clips, %d images%s in %s: %d attempts, %d of them successful%s', done.clips,
              done.images, dropped, path, done.attempts, done.successes, ''.join(
                  f'; {count} in {name}' for name, count in sorted(done.domains.items())))
    if done.guessed:
        _LOG.warning('%d attempts have no decision time in the CSV file: their end is used '
                     'instead, so their scores may use images that already show the '
                     'outcome', done.guessed)
    if done.early:
        _LOG.warning('%d decisions are earlier than %g s after the first image, the time that the '
                     'shipped model needs before its first score: %s', len(done.early), window_s,
                     shorten(done.early))
    if done.clips > done.attempts:
        _LOG.warning('%d clips without an outcome', done.clips - done.attempts)
    if done.left_out:
        _LOG.warning('%d clips were left out: %s', len(done.left_out), shorten(done.left_out))
