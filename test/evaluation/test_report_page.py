"""The report as a whole: what it holds, that it needs nothing else, and bad input."""

import csv
from dataclasses import replace
import errno
from html.parser import HTMLParser
import io
import json
import math
import os
from pathlib import Path
import re

import jinja2
from moss_perception.core.errors import ConfigError, MossError
from moss_perception.evaluation.records import AttemptRecord, UnmatchedOutcome
from moss_perception.evaluation.report import page, write_report
from moss_perception.evaluation.report.files import publish
import numpy as np
import pytest

for needed in ('scipy', 'sklearn', 'matplotlib', 'jinja2'):
    pytest.importorskip(needed)

NAMES = ['attempts.csv', 'report.html', 'report.json']


class Page(HTMLParser):
    """Collects what a page has: tags that are open, ids, links, images and text."""

    EMPTY = ('meta', 'img', 'br', 'input')

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.text = [], [], [], [], ''
        self.tags = set()
        self.feed(text)
        assert not self.open, f'not closed: {self.open}'

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.ids += [found['id']] if 'id' in found else []
        self.links += [found[key] for key in ('href', 'src') if key in found]
        self.images += [found] if tag == 'img' else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ('style', 'script'):
            self.text += data + ' '


def read(folder):
    page = Page((folder / 'report.html').read_text(encoding='utf-8'))
    # parse_constant sees NaN and Infinity, which are no JSON.
    values = json.loads((folder / 'report.json').read_text(), parse_constant=pytest.fail)
    rows = list(csv.DictReader(io.StringIO((folder / 'attempts.csv').read_text())))
    assert not re.search(r'\b(nan|inf|None)\b', page.text)
    return page, values, rows


@pytest.fixture(scope='module')
def both(made_up, tmp_path_factory):
    """Write a report of two domains, three checkpoints and a single factor."""
    folder = tmp_path_factory.mktemp('report') / 'new' / 'folder'
    evaluations = [made_up.make_evaluation(
        made_up.make_bag('sim', 40, skill=1.6 * k), made_up.make_bag('shifted', 40, skill=0.7 * k,
                                                                  offset=0.8),
        made_up.make_bag('shifted.light', 12, skill=k), model=name)
        for name, k in (('first.safetensors', 1), ('second.safetensors', 0.6),
                        ('<third>', 0.2))]
    asked = []

    def images(bag, stamps):
        asked.append((bag.domain, len(stamps)))
        return made_up.draw_images(bag, sorted(stamps)[1:])
    verdict = write_report(evaluations, folder, images=images,
                           requirements=['auroc@sim>=0.7', 'auroc@shifted>=0.99'])
    return evaluations, verdict, folder, asked, read(folder)


def test_all_files_are_there_and_nothing_else(both):
    assert sorted(path.name for path in both[2].iterdir()) == NAMES


def test_the_page_needs_nothing_from_elsewhere(both):
    page = both[4][0]
    assert all(link.startswith(('#', 'data:')) for link in page.links)
    source = (both[2] / 'report.html').read_text()
    assert not re.search(r'@import|url\(|<link|<iframe|<script [^>]|https?:|fetch\(|import ',
                         re.sub(r'data:[^"]*', '', source))
    assert '--paper: #ffffff' in source and '@media print' in source
    assert all(image['alt'] for image in page.images)


def test_the_page_has_each_section_once_and_its_links_lead_there(both):
    page = both[4][0]
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith('#')} == set(page.ids)
    assert set(page.ids) == {'counted', 'quality', 'factors', 'calibration', 'scores', 'early',
                             'ood', 'checkpoints', 'strips', 'attempts', 'recordings'}


HOSTILE = '=belt $\\frac{x$ <b>\x1b]0;x\x07\n\u202e' + 'x' * 10**6


def test_names_that_are_commands_do_no_harm(made_up, tmp_path):
    bag = made_up.make_bag(HOSTILE, 12, seed=3, path='x', warnings=(HOSTILE,), notes=(HOSTILE,))
    bag = replace(bag, attempts=tuple(replace(x, motion=HOSTILE, object=HOSTILE)
                                      for x in bag.attempts))
    write_report([made_up.make_evaluation(made_up.make_bag('sim', 12), bag)], tmp_path)
    _, values, rows = read(tmp_path)
    source = (tmp_path / 'report.html').read_text()
    assert '$' in source and '<b>' not in source and len(source) < 10**6
    assert not set(source) & {'\x1b', '\x07', '\u202e'}
    hostile = [x for x in rows if 'belt' in x['domain']]
    assert len(hostile) == 12 and not any(
        value.startswith('=') for row in hostile for value in row.values())
    assert all(len(x) < 10**5 for x in values['warnings'])


def test_names_from_outside_are_escaped(both):
    source = (both[2] / 'report.html').read_text()
    assert '<third>' not in source
    assert '&lt;third&gt;' in source


def test_the_success_definition_and_counts_are_stated(both):
    page, values, _ = both[4]
    assert 'both fingers still hold the object after lifting and shaking' in page.text
    counts = values['checkpoints'][0]['domains']['sim']['counts']
    attempts = both[0][0].bags[0].attempts
    assert counts['attempts'] == 40
    assert counts['held'] == sum(one.success for one in attempts)


def test_figures_equal_scikit_learn(both):
    from sklearn import metrics
    attempts = both[0][0].bags[1].attempts
    labels, scores = [one.success for one in attempts], [one.score for one in attempts]
    found = both[4][1]['checkpoints'][0]['domains']['shifted']
    for name, expected in (('auroc', metrics.roc_auc_score(labels, scores)),
                           ('auprc', metrics.average_precision_score(labels, scores)),
                           ('brier', metrics.brier_score_loss(labels, scores)),
                           ('accuracy', np.mean((np.array(scores) >= 0.5) == labels))):
        measure = found['measures'][name]
        assert measure['value'] == pytest.approx(expected)
        assert measure['low'] <= expected <= measure['high']
    base = both[4][1]['checkpoints'][0]['domains']['sim']['measures']
    gap = found['gaps']['auroc']
    assert gap['value'] == pytest.approx(found['measures']['auroc']['value']
                                         - base['auroc']['value'])
    assert gap['low'] < gap['value'] < gap['high']


def test_the_temperature_is_that_of_simulation_whatever_else_is_evaluated(both, made_up, tmp_path):
    fitted = both[4][1]['checkpoints'][0]['fitted_temperature']
    assert (fitted['domain'], fitted['attempts']) == ('sim', 40)
    write_report([made_up.make_evaluation(both[0][0].bags[0])], tmp_path)
    alone = json.loads((tmp_path / 'report.json').read_text())['checkpoints'][0]
    assert alone['fitted_temperature'] == fitted


def test_each_attempt_is_a_line_for_each_checkpoint(both):
    rows = both[4][2]
    assert len(rows) == 3 * 92
    attempt = both[0][0].bags[0].attempts[3]
    assert float(rows[3]['score']) == pytest.approx(attempt.score)
    assert rows[3]['decision_s'] == f'{attempt.decision_ns / 1e9:.9f}'
    assert rows[3]['success'] == str(int(attempt.success))
    assert 0 < float(rows[3]['scaled_score']) < 1


def test_the_verdict_stands_in_the_answer_the_page_and_the_values(both):
    _, verdict, _, _, (page, values, _) = both
    assert [row.met for row in verdict.rows] == [True, False]
    assert not verdict.met
    assert '1 of 2 requirements fell short' in page.text
    assert values['requirements']['met'] is False


def test_checkpoints_are_ranked_in_both_domains(both):
    page, values, _ = both[4]
    shifted = next(one for one in values['rankings'] if one['domain'] == 'shifted')
    assert shifted['measure'] == 'auroc'
    assert len(shifted['simulated']) == 3
    assert -1 <= shifted['agreement']['pearson'] <= 1
    assert 'MMRV' in page.text
    paired = values['checkpoints'][2]['domains']['sim']
    assert paired['auroc_less_first']['high'] < 0


def test_film_strips_ask_once_a_recording_and_show_what_is_missing(both):
    asked, page = both[3], both[4][0]
    assert [domain for domain, _ in asked] == ['sim', 'shifted']
    assert max(count for _, count in asked) <= 18
    assert sum(image['src'].startswith('data:image/jpeg') for image in page.images) > 20
    assert 'frame not available' in page.text
    assert page.text.count('Worst: attempt') == 2


def test_paired_differences_are_those_of_the_same_attempts(made_up, tmp_path):
    bag = made_up.make_bag('sim', 40)
    better = made_up.make_evaluation(bag)
    flat = [AttemptRecord(**{**vars(one), 'score': 0.5}) for one in bag.attempts]
    worse = made_up.make_evaluation(type(bag)(**{**vars(bag), 'attempts': tuple(flat)}))
    write_report([better, worse], tmp_path)
    page, values, _ = read(tmp_path)
    first, second = (one['domains']['sim'] for one in values['checkpoints'])
    assert second['measures']['auroc']['value'] == 0.5
    gap = second['auroc_less_first']
    assert gap['value'] == pytest.approx(0.5 - first['measures']['auroc']['value'])
    # The other does not vary, so the paired interval is that of the first alone.
    assert gap['low'] == pytest.approx(0.5 - first['measures']['auroc']['high'])
    assert 'needs recordings of sim and of another domain' in page.text


def test_one_class_only_is_said_and_falls_short(made_up, tmp_path):
    bags = [made_up.make_bag('sim', 8, outcomes=[True] * 8), made_up.make_bag('real', 20)]
    verdict = write_report([made_up.make_evaluation(*bags)], tmp_path,
                           requirements=['auroc@sim>=0.5', 'auroc_gap@real>=-1', 'brier<=1'])
    page, values, _ = read(tmp_path)
    assert [row.met for row in verdict.rows] == [False, False, True, True]
    assert verdict.rows[0].reason == 'all 8 scored attempts are successes'
    assert 'all 8 scored attempts are successes, so AUROC, AUPRC' in page.text
    assert 'AUROC is undefined' in page.text
    assert values['checkpoints'][0]['domains']['sim']['measures']['auroc']['value'] is None


def test_recordings_without_attempts_scores_or_reference_still_give_a_page(made_up, tmp_path):
    whole = made_up.make_bag('real', 6)
    silent = tuple(AttemptRecord(one.attempt, one.start_ns, one.decision_ns, one.end_ns,
                                 one.success) for one in whole.attempts)
    bags = [made_up.make_bag('real', 6, attempts=silent),
            made_up.make_bag('other', 0, frames=0, by_status={}, duration_s=0.0, elapsed_s=0.0,
                             decode_ms=np.zeros(0), inference_ms=np.zeros(0),
                             unmatched=(UnmatchedOutcome(4, 'it lies outside the recording'),))]
    write_report([made_up.make_evaluation(*bags)], tmp_path)
    page, _, rows = read(tmp_path)
    assert 'There is no recording of the domain “sim”' in page.text
    assert '6 of 6 attempts have no score' in page.text
    assert 'attempt 4: it lies outside the recording.' in page.text
    assert 'it has no attempt with an outcome' in page.text
    assert {row['score'] for row in rows} == {''}


def test_guessed_decisions_are_said_before_the_figures(made_up, tmp_path):
    bag = made_up.make_bag('real', 12)
    attempts = [AttemptRecord(**{**vars(one), 'decision_guessed': n < 5})
                for n, one in enumerate(bag.attempts)]
    bag = type(bag)(**{**vars(bag), 'attempts': tuple(attempts)})
    write_report([made_up.make_evaluation(bag)], tmp_path)
    page, values, _ = read(tmp_path)
    head = page.text[:page.text.index('What was counted')]
    assert 'the decisions of 5 of 12 attempts were not recorded' in head
    assert values['checkpoints'][0]['recordings'][0]['decisions_guessed'] == 5


def test_damage_default_grasps_and_refusals_are_said_before_the_figures(made_up, tmp_path):
    bag = made_up.make_bag('sim', 12, refused={'encoding': 3}, lost_share=0.25, missing=9000)
    attempts = [AttemptRecord(**{**vars(one), 'source': 'default'}) for one in bag.attempts]
    bag = type(bag)(**{**vars(bag), 'attempts': tuple(attempts)})
    write_report([made_up.make_evaluation(bag)], tmp_path)
    text = read(tmp_path)[0].text
    head = text[:text.index('What was counted')]
    assert '25.0 % of the recording could not be read' in head
    assert 'for 12 of 12 attempts the default grasp point was scored' in head
    assert '3 of 432 images were refused (encoding: 3)' in head
    assert '12 scored attempts are few' in head
    assert 'samples repeat the one before' in head


def test_a_full_disk_leaves_what_was_there_and_nothing_half(tmp_path, monkeypatch):
    old, new = ({name: f'{word} {name}' for name in NAMES} for word in ('old', 'new'))
    publish(tmp_path, old)
    calls = []

    def full(_):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(MossError, match='No space left on device: expected a folder with room'):
        publish(tmp_path, new)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old
    calls.clear()
    with pytest.raises(MossError, match='No space left'):
        publish(tmp_path / 'new' / 'deeper', new)
    assert not (tmp_path / 'new').exists()


def test_a_file_in_the_way_and_wrong_arguments_are_refused(made_up, tmp_path):
    (tmp_path / 'file').write_text('')
    evaluation = made_up.make_evaluation(made_up.make_bag('sim', 4))
    with pytest.raises(MossError, match='cannot be written to .*file'):
        publish(tmp_path / 'file', {'report.html': ''})
    with pytest.raises(ConfigError, match='at least one evaluation'):
        write_report([], tmp_path)
    with pytest.raises(ConfigError, match='unknown metric'):
        write_report([evaluation], tmp_path, requirements=['aurok>1'])
    with pytest.raises(ConfigError, match='threshold=1.5'):
        write_report([evaluation], tmp_path, threshold=1.5)
    with pytest.raises(ConfigError, match="names domain 'lab'"):
        write_report([evaluation], tmp_path, requirements=['auroc@lab>0'])
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_the_shift_monitor_is_measured_against_the_reference(made_up, tmp_path):
    sim, real = made_up.make_bag('sim', 20), made_up.make_bag('real', 10)
    bags = []
    for bag, ood_scores in ((sim, [0.5] * 18 + [1.5] * 2), (real, [0.8] * 5 + [2.0] * 5)):
        attempts = [AttemptRecord(**{**vars(one), 'ood_score': value})
                    for one, value in zip(bag.attempts, ood_scores, strict=True)]
        bags.append(type(bag)(**{**vars(bag), 'attempts': tuple(attempts)}))
    verdict = write_report([made_up.make_evaluation(*bags)], tmp_path,
                           requirements=['ood_auroc>=0.9', 'false_alarm_rate<=0.1'])
    _, values, _ = read(tmp_path)
    found = values['checkpoints'][0]['domains']['real']['ood']
    assert found['auroc']['value'] == pytest.approx((5 * 18 + 5 * 20) / 200)
    assert found['false_alarms']['value'] == pytest.approx(0.1)
    assert found['found']['value'] == pytest.approx(0.5)
    assert [(row.domain, row.met) for row in verdict.rows] == [('real', True)] * 2


def test_attempts_without_a_grasp_are_counted_apart_and_domains_without_a_name_get_one(
        made_up, tmp_path):
    bag = made_up.make_bag('', 12)
    attempts = [AttemptRecord(**{**vars(one), 'executed': one.attempt % 3 > 0,
                                 'success': one.success and one.attempt % 3 > 0})
                for one in bag.attempts]
    bag = type(bag)(**{**vars(bag), 'attempts': tuple(attempts), 'closed_loop': True,
                       'pace': 'live'})
    write_report([made_up.make_evaluation(bag)], tmp_path)
    page, values, rows = read(tmp_path)
    found = values['checkpoints'][0]['domains']['unnamed']
    assert (found['counts']['attempts'], found['not_executed']) == (8, 4)
    assert found['measures']['success']['value'] == pytest.approx(
        sum(one.success for one in attempts) / 8)
    assert 'in 4 more attempts no grasp was executed' in page.text
    assert [row['correct'] == '' for row in rows] == [n % 3 == 0 for n in range(12)]


def test_scores_of_one_moment_alone_make_no_curve_and_an_unknown_ood_score_is_explained(
        made_up, tmp_path):
    bags = []
    for domain in ('sim', 'shifted'):
        bag = made_up.make_bag(domain, 24)
        # As in a closed loop: the executed grasp is a candidate at its decision only.
        attempts = [AttemptRecord(**{**vars(one), 'ood_score': math.nan, 'scores': np.where(
            one.times_s == 0, one.scores, np.nan)}) for one in bag.attempts]
        bags.append(type(bag)(**{**vars(bag), 'attempts': tuple(attempts)}))
    write_report([made_up.make_evaluation(*bags)], tmp_path)
    page, _, _ = read(tmp_path)
    assert 'too few attempts with scores over time: expected at least 5 of each' in page.text
    assert not any('against time' in image['alt'] for image in page.images)
    assert 'a live run was not scored again' in page.text


def test_the_default_needs_no_images_and_scores_stay_numbers(made_up, tmp_path):
    write_report([made_up.make_evaluation(made_up.make_bag('sim', 12))], tmp_path)
    page, _, rows = read(tmp_path)
    assert not any(image['src'].startswith('data:image/jpeg') for image in page.images)
    assert all(math.isfinite(float(row['score'])) for row in rows)


def test_html_stands_in_templates_alone_and_all_of_them_are_packaged():
    folder = Path(page.__file__).parent
    for path in folder.glob('*.py'):
        assert not re.search(r'</?[a-z]+[ >]', path.read_text(encoding='utf-8')), path.name
    assert all(path.name.endswith('.html.j2') for path in (folder / 'templates').iterdir())
    setup = (folder.parents[2] / 'setup.py').read_text()
    assert "'templates/*.html.j2', 'report.css'" in setup


def test_a_value_that_a_template_asks_for_in_vain_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match='plots'):
        page.fill('scores', {})
