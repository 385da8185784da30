"""
Write the figures of the shipped model into README and pages: python docs/generate/shipped.py

They come from the files that moss evaluate, moss ood measure and moss run eval wrote. Model card,
out_of_distribution.md and evaluate_over_topics.md have the commands. Run it where the package is
set up.
"""

import json
from pathlib import Path
import sys

from tables import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'docs/results'
PAGES = [ROOT / page for page in (
    'README.md', 'docs/index.md', 'docs/model_card.md', 'docs/explanation/out_of_distribution.md',
    'docs/how_to/evaluate_over_topics.md')]
SETS = {'sim': 'sim', 'shifted': 'shifted', 'held_out': 'unseen families'}
# The model card also has the other domain of training.
CARD_SETS = {**SETS, 'randomised': '`randomised`'}
IN_WORDS = {'sim': 'the simulation that it was trained in',
            'shifted': 'other light, textures, camera and physics',
            'held_out': 'families of objects that training never showed'}
WITHOUT_MOTION, WITHOUT_IMAGES = 'frozen clip', 'no image, candidates alone'
REFERENCES = {
    'random': 'chance (a random candidate)',
    'constant_velocity': 'distance to the position extrapolated at the true velocity',
    'true_motion': 'distance to the true future position',
    'oracle': 'the known outcomes (a candidate that succeeds, if there is one)'}
FEATURES = {
    'stride 8': "the backbone's stage of stride 8", 'stride 4': 'the stage of stride 4',
    'stride 2': 'the stage of stride 2', 'all of them': 'colours and all three stages',
    'MOSS map, mean and spread': 'the MOSS map', 'colours': 'colours'}


def read(name):
    """Read a file of results."""
    return json.loads((RESULTS / f'{name}.json').read_text(encoding='utf-8'))


def evaluations(sets):
    """Return what moss evaluate found on each of these sets."""
    return {name: read(f'grasp_moss_{name}_test') for name in sets}


def summary():
    """Write the table of the README."""
    rows = []
    for name, found in evaluations(SETS).items():
        chosen = found['chosen_success']
        rows.append([IN_WORDS[name], _with_interval(chosen, 'model', 100, 1),
                     *(f'{100 * chosen[key]:.1f}' for key in ('true_motion', 'random'))])
    scenes = {found['scenes'] for found in evaluations(SETS).values()}
    assert len(scenes) == 1, f'sets of {scenes} scenes: expected sets of the same size'
    return table([f'{scenes.pop()} unseen scenes each', 'success of the selected grasp, % [95 %]',
                  'of the candidate nearest to where the object will be',
                  'of a random candidate'], rows)


def success():
    """Write how often the selected grasp succeeds, and what it would be without the model."""
    found = evaluations(CARD_SETS)
    models = {'the model': '', 'the model, given the last frame 16 times': WITHOUT_MOTION,
              "baseline without images (the candidates' coordinates)": WITHOUT_IMAGES}
    rows = [[title, *(_with_interval(_variant(one, ending)['chosen_success'], 'model', 100, 1)
                      for one in found.values())] for title, ending in models.items()]
    rows += [[title, *(f'{100 * one["chosen_success"][name]:.1f}' for one in found.values())]
             for name, title in REFERENCES.items()]
    return table(['selected by', *CARD_SETS.values()], rows)


def areas():
    """Write AUROC and calibration, over all candidates and by motion."""
    found = evaluations(CARD_SETS)
    motions = sorted({motion for one in found.values() for motion in one['motions']})
    rows = [['AUROC', *(_with_interval(one, 'auroc', 1, 3) for one in found.values())],
            ['ECE', *(f'{one["ece"]:.3f}' for one in found.values())]]
    for motion in motions:
        title = {'constant': 'constant velocity'}.get(motion, motion.replace('_', ' '))
        rows.append([f'AUROC, {title}', *(
            _with_interval(one['motions'][motion], 'auroc', 1, 3) if motion in one['motions']
            else '-' for one in found.values())])
    return table(['', *CARD_SETS.values()], rows)


def ood():
    """Write which feature tells the domains apart."""
    return table(['mean and spread of', 'AUROC', 'flagged, shifted', 'flagged, sim'], [
        [FEATURES[row['feature']], f'{row["auroc"]:.3f}', f'{100 * row["found"]:.0f} %',
         f'{100 * row["false_alarms"]:.1f} %']
        for row in read('novelty_full')['rows'] if row['distance'] == 'Mahalanobis'])


def closed_loop():
    """Write how many executed grasps of the closed loop succeeded."""
    rows = []
    for name, found in read('closed_loop_full')['checkpoints'][0]['domains'].items():
        counts, share = found['counts'], found['measures']['success']
        rows.append([f'`{name}`', str(counts['attempts'] + found['not_executed']),
                     str(counts['attempts']), str(counts['held']), f'{100 * share["value"]:.1f} % '
                     f'[{100 * share["low"]:.1f}, {100 * share["high"]:.1f}]'])
    return table(['domain', 'attempts', 'executed', 'succeeded',
                  'share of the executed [95 %, Wilson]'], rows)


def _variant(found, ending):
    """Return the result of the model with all orders, or of the variant with such a name."""
    if not ending:
        return found
    return next(one for name, one in found['variants'].items() if name.endswith(ending))


def _with_interval(values, key, scale, digits):
    low = 'low' if key == 'model' else f'{key}_low'
    return '{0:.{3}f} [{1:.{3}f}, {2:.{3}f}]'.format(
        *(scale * values[name] for name in (key, low, low.replace('low', 'high'))), digits)


TABLES = {'summary': summary, 'success': success, 'areas': areas, 'ood': ood,
          'closed loop': closed_loop}


def filled(page):
    """Fill the tables of a page."""
    sys.path.insert(0, str(ROOT))
    from study.pages import fill
    return fill(page, lambda name, what: TABLES[what]() if name == 'shipped' else None)


if __name__ == '__main__':
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding='utf-8')), encoding='utf-8')
