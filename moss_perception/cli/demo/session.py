"""One run of the demo: open the source, play it, and write the results."""

import argparse
import json
import os
import sys
from typing import Any

from moss_perception.cli.demo.nodes import choose_domain, Log, play, RunSettings
from moss_perception.cli.demo.pictures import draw_contact_sheet, plot_scores
from moss_perception.cli.demo.results import summarise
from moss_perception.cli.demo.source import open_source, record_video, Source
from moss_perception.cli.demo.terminal import no_score, Progress, report
from moss_perception.core.errors import MossError
from moss_perception.core.files import OutputFolder
from moss_perception.core.resources import model_path, share_directory
from moss_perception.evaluation.recorded import match
from moss_perception.models.config import ModelConfig
from moss_perception.models.manifest import read_header
from moss_perception.ros.recorder.observer import Observer
from tqdm import tqdm

SAMPLE = 'samples/sim_20'
_WARNINGS = 5


def show(options: argparse.Namespace) -> None:
    """
    Play, watch and write the results.

    :raises MossError: if an input can't be used, or no frame was scored.
    """
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with OutputFolder(options.out, 'cannot write to --out') as folder:
        source = find_source(options, folder)
        model, _ = read_header(model_path(options.model))
        domain = choose_domain() if options.domain_id is None else options.domain_id
        # In lock step the scores must not depend on the load of the machine.
        budget = '' if options.rate else model.levels[-1]
        settings = RunSettings(
            options.rate, options.model, options.sha256, options.stall, domain, budget)
        pace = f'rate {options.rate:g}' if options.rate else 'lock step'
        print(f'playing {source.shown}: {source.frames} frames of {source.image_topic}, '
              f'{len(source.attempts)} attempts, {pace}; starting the nodes', flush=True)
        log = Log((lambda line: tqdm.write(line, file=sys.stdout)) if options.verbose else None)
        summary = watch(source, settings, model, log, folder, pace)
        for warning in log.warnings()[:_WARNINGS]:
            print(f'warning of {warning}')
        report(summary, folder.publish())


def watch(source: Source, settings: RunSettings, model: ModelConfig, log: Log,
          folder: OutputFolder, pace: str) -> dict[str, Any]:
    """
    Play a recording, show the scores, and write the results.

    :param model: the checkpoint's configuration.
    :param pace: pace in words.
    :returns: the contents of summary.json.
    :raises MossError: if playing failed, or no frame was scored.
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
    outputs = observer.outputs
    # Match again: the last scores of an attempt may have arrived after its line was shown.
    attempts = match(outputs, source.attempts).records()
    summary = summarise(source, outputs, observer.states, attempts, timing_log, pace)
    folder.result('summary.json').write_text(
        json.dumps(summary, indent=2, allow_nan=False) + '\n')
    plot_scores(folder.result('scores.png'), source, outputs.scores, attempts)
    draw_contact_sheet(folder.result('contact_sheet.png'), source, outputs.scores, attempts,
                       model.default_point)
    return summary


def find_source(options: argparse.Namespace, folder: OutputFolder) -> Source:
    """Open the recording; convert a video to a recording first."""
    if options.video is None:
        path = options.bag or share_directory() / SAMPLE
        return open_source(path, options.image_topic)
    print(f'reading {options.video}', flush=True)
    recording = folder.scratch('video')
    record_video(options.video, recording)
    return open_source(recording, shown=str(options.video))
