"""The four pictures are drawn from results, and linked in a page."""

from copy import deepcopy
import json

import cv2
from moss_perception.evaluation.record_files import plain
import pytest
from spots import later_scene
from study_runs import attempts

from study import pictures
from study.lead_times import LeadTimes
from study.motion_error import DIS

pytest.importorskip('scipy')


@pytest.fixture
def compared(stored, tmp_path):
    """Store a comparison of two variants on two sets of the same seeds, at three lead times."""
    result = deepcopy(stored)
    described = LeadTimes.of([later_scene(n) for n in range(40)]).describe()
    result['sets']['sim']['lead_times'] = described
    result['sets']['blur'] = {**result['sets']['sim'], 'domain': 'shifted.motion_blur'}
    for one in (*result['runs'], *result['variants'].values()):
        one['sets']['blur'] = deepcopy(one['sets']['sim'])
    for one in result['runs']:
        timed = one['variant'] == 'moss'
        one['sets']['blur']['since'] = {'auroc': -0.1, 'low': -0.2, 'high': 0.0}
        one['sets']['sim']['lead_times'] = {
            'told': '101' * 40, **({'fixed': '100' * 40} if timed else {})}
        one['sets']['blur']['lead_times'] = one['sets']['sim']['lead_times']
    (tmp_path / 'all.json').write_text(json.dumps(plain(result)))
    return str(tmp_path / 'all.json')


@pytest.fixture
def motion(tmp_path):
    """Store errors of a classical method and of one of MOSS."""
    one = {'sim': {'objects': {'value': 0.7}}, 'shifted': {'objects': {'value': 1.2}}}
    (tmp_path / 'motion.json').write_text(json.dumps({'methods': {
        DIS: {'ms': 6.0, **one}, 'MOSS, stride 2: parabola': {'ms': 2.0, **one}}}))
    return str(tmp_path / 'motion.json')


def test_four_pictures_are_drawn_and_linked(compared, motion, tmp_path):
    page = tmp_path / 'docs' / 'page.md'
    page.parent.mkdir()
    begin = '<!-- begin pictures | {} -->\n<!-- end -->\n'
    names = ('motion_error', 'variants', 'factors', 'latency')
    page.write_text(''.join(map(begin.format, (*names, 'other'))))
    assert pictures.main(['--motion', motion, '--variants', compared, '--factors', compared,
                          '--out', str(tmp_path / 'docs' / 'images'), '--page', str(page)]) == 0
    text = page.read_text()
    for name in names:
        assert cv2.imread(str(page.parent / 'images' / f'{name}.png')).std() > 5
        assert f'](images/{name}.png)' in text
    assert begin.format('other') in text


def test_what_can_not_be_drawn_is_said_in_one_line(compared, tmp_path, caplog):
    out = ['--out', str(tmp_path / 'images')]
    (tmp_path / 'bad.json').write_text('{')
    result = json.loads((tmp_path / 'all.json').read_text())
    (tmp_path / 'plain.json').write_text(json.dumps({
        **result, 'sets': {'sim': attempts().describe()}}))
    for words, message in (
            ([], 'there is nothing to draw: expected --motion, --variants or --factors'),
            (['--motion', str(tmp_path / 'bad.json')], 'is not JSON'),
            (['--variants', compared, '--timed', 'blind'],
             "variant 'blind' has no results with a told lead time"),
            (['--factors', compared, '--before', 'moon'], '--before moon is not allowed'),
            (['--factors', str(tmp_path / 'plain.json')],
             'the results have no two sets of the same seeds')):
        assert pictures.main([*words, *out]) == 1
        assert message in caplog.text
    assert pictures.main(['--variants', str(tmp_path / 'plain.json'), *out]) == 0
    assert 'no picture of latencies' in caplog.text
