"""Comparisons of variants that were trained at different times are merged."""

import json
import math

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.record_files import plain
import pytest

from study import compare as command
from study.comparison import merge, summarise

pytest.importorskip('scipy')


def part(stored, variant, seeds):
    """Keep some runs of a comparison, as it would be read again."""
    runs = [one for one in stored['runs'] if one['variant'] == variant and one['seed'] in seeds]
    return json.loads(json.dumps(plain(stored | {
        'runs': runs, 'costs': {variant: stored['costs'][variant]},
        'variants': summarise(runs, stored['sets']), 'pairs': []}), allow_nan=False))


def test_comparisons_of_parts_are_merged_as_the_whole(stored, tmp_path, capsys):
    files = []
    for number, (variant, seeds) in enumerate((('blind', [1]), ('moss', [0, 1]), ('blind', [0]))):
        files.append(str(tmp_path / f'{number}.json'))
        (tmp_path / f'{number}.json').write_text(json.dumps(part(stored, variant, seeds)))
    assert command.main(['--results', *files, '--out', str(tmp_path / 'all.json')]) == 0
    assert '| blind   | 0,1' in capsys.readouterr().out
    found, whole = json.loads((tmp_path / 'all.json').read_text()), plain(stored)
    for key in ('variants', 'costs', 'pairs'):
        assert found[key] == whole[key]
    assert len(found['runs']) == 4


def test_what_was_tested_of_the_same_runs_is_not_tested_again(stored, monkeypatch):
    whole = json.loads(json.dumps(plain(stored), allow_nan=False))
    monkeypatch.setattr('study.comparison.intervals.paired_test', lambda *_: pytest.fail('again'))
    assert plain(merge([whole]))['pairs'] == whole['pairs']
    fewer = part(stored, 'moss', [0])
    fewer['runs'] += part(stored, 'blind', [0])['runs']
    fewer['pairs'] = whole['pairs']
    with pytest.raises(pytest.fail.Exception, match='again'):
        merge([fewer])


def test_of_stored_comparisons_some_variants_can_be_kept(stored, tmp_path, capsys):
    file = tmp_path / 'all.json'
    file.write_text(json.dumps(plain(stored)))
    kept = tmp_path / 'kept.json'
    assert command.main(['--results', str(file), '--variants', 'moss', '--out', str(kept)]) == 0
    assert 'blind' not in capsys.readouterr().out
    found = json.loads(kept.read_text())
    assert {run['variant'] for run in found['runs']} == set(found['variants']) == {'moss'}
    assert found['variants']['moss'] == plain(stored)['variants']['moss']
    assert command.main(['--results', str(file), '--variants', 'moose']) == 1
    assert command.main(['--runs', str(tmp_path), '--variants', 'moss']) == 1


def test_what_is_undefined_stays_so_when_merged(stored):
    one, other = part(stored, 'blind', [0]), part(stored, 'moss', [0])
    one['runs'][0]['sets']['sim']['kinds']['still']['auroc'] = None
    merged = merge([one, other])
    assert math.isnan(merged['variants']['blind']['sets']['sim']['still']['auroc'])
    assert merged['variants']['moss'] == other['variants']['moss']


def test_only_other_runs_on_the_same_scenes_are_merged(stored):
    one, other = part(stored, 'blind', [0]), part(stored, 'moss', [0])
    with pytest.raises(ConfigError, match='two runs of the variant blind with seed 0'):
        merge([one, one])
    with pytest.raises(ConfigError, match=r"the sets \['sim'\] and \['new'\]"):
        merge([one, other | {'sets': {'new': other['sets']['sim']}}])
    other['sets']['sim']['seeds'] = [5, 9]
    with pytest.raises(ConfigError, match='set sim differs in seeds'):
        merge([one, other])
    with pytest.raises(ConfigError, match='this is no comparison'):
        merge([one, {'format': 'other'}])


def test_a_variant_keeps_the_uncertainty_of_most_of_its_trainings(stored):
    few, many = part(stored, 'moss', [0]), part(stored, 'moss', [1])
    many['runs'] = many['runs'] + [run | {'seed': 7} for run in many['runs']]
    few['uncertainty'], many['uncertainty'] = {'moss': 'few'}, {'moss': 'many'}
    assert merge([few, many])['uncertainty'] == {'moss': 'many'}
