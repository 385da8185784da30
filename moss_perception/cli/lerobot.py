"""``moss import --lerobot`` and ``moss export-dataset``: LeRobotDatasets of version 3."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
import logging
from pathlib import Path
import shutil
import tempfile
import time

from moss_perception.cli.import_recordings import groups_of, log_contents
from moss_perception.core.errors import DataError
from moss_perception.core.resources import model_path
from moss_perception.data.clips.inputs import read_calibration
from moss_perception.data.imports.bags import LeftOut
from moss_perception.data.imports.folder import require_new, save_samples
from moss_perception.data.lerobot.foreign import Foreign
from moss_perception.data.lerobot.reader import read_dataset
from moss_perception.data.lerobot.writer import ExportSettings, rate_of, write_dataset
from moss_perception.data.scenes import read_shards
from moss_perception.data.schema import Sample
from moss_perception.models.manifest import read_header
from tqdm import tqdm


def import_lerobot(arguments: argparse.Namespace) -> int:
    """
    Turn LeRobotDatasets into training data.

    :raises MossError: if something can't be read, used or written.
    """
    require_new(arguments.out)
    model, _ = read_header(model_path(''))
    foreign = Foreign(
        arguments.camera, arguments.grasp, arguments.decision,
        arguments.calibration and read_calibration(Path(arguments.calibration)),
        groups_of(arguments.group), arguments.lead_time, arguments.gripper_opening,
        model.frame_rate_hz, model.window_frames)
    began = time.perf_counter()
    left_out: list[LeftOut] = []
    samples = (sample for folder in arguments.lerobot for sample in read_dataset(
        folder, foreign, lambda *why, name=folder.name: left_out.append(
            LeftOut(name, *why))))
    contents = save_samples(tqdm(samples, unit='episode', leave=False, disable=None),
                            arguments.out, left_out)
    log_contents(contents, arguments.out, time.perf_counter() - began)
    return 0


def export_lerobot(arguments: argparse.Namespace) -> int:
    """
    Write training data as a LeRobotDataset, as a whole or not at all.

    :raises MossError: if something can't be read, used or written.
    """
    out = arguments.lerobot
    require_new(out)
    settings = ExportSettings(1 if arguments.fps is None else arguments.fps,
                              'image' if arguments.images == 'jpeg' else 'video', arguments.task)
    samples = list(_samples(arguments.data))
    if arguments.fps is None:
        settings = replace(settings, fps=rate_of(samples))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial_folder = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
        try:
            written = partial_folder / out.name
            written.mkdir()
            write_dataset(written, samples, settings, partial(
                tqdm, unit='episode', leave=False, disable=None))
            written.replace(out)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)
    except OSError as error:
        raise DataError(f'could not write {out}: {error.strerror or error}') from error
    logging.getLogger('export-dataset').info(
        '%d episodes at %d frames per second in %s', len(samples), settings.fps, out)
    return 0


def _samples(folders: list[Path]) -> Iterator[Sample]:
    for folder in folders:
        yield from read_shards(folder)
