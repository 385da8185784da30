"""The page's own script in a real browser: it sorts, filters and enlarges, from file://."""

from html import unescape
import json
import re
import shutil
import subprocess

from moss_perception.evaluation.report import write_report
import numpy as np
import pytest

for needed in ('scipy', 'sklearn', 'matplotlib', 'jinja2'):
    pytest.importorskip(needed)

BROWSER = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)
LOOK = """
const $ = (one) => document.querySelector(one), $$ = (one) => [...document.querySelectorAll(one)];
const rows = () => $$('.attempts tbody tr').filter((row) => !row.hidden);
const column = (n) => rows().map((row) => row.cells[n].textContent);
const head = (n) => $$('.attempts thead button')[n].click();
const filter = (name, value) => {
  const control = $(`[data-filter=${name}]`);
  control.value = value;
  control.dispatchEvent(new Event('input'));
};
const seen = {before: column(0), controls: !$('.controls').hidden};
head(5); seen.up = column(5);
head(5); seen.down = column(5);
head(0); seen.numbers = column(0);
filter('outcome', 'held'); seen.held = column(4); seen.count = $('[data-shown]').textContent;
filter('domain', 'shifted'); seen.domains = column(1);
filter('text', 'lying capsule'); seen.text = column(2);
filter('text', ''); filter('domain', ''); filter('outcome', ''); seen.all = rows().length;
$('button.zoom').click();
const dialog = $('dialog.large'), shown = () => dialog.querySelector('p').textContent;
seen.open = dialog.open; seen.first = shown();
seen.same = dialog.querySelector('img').src === $('button.zoom img').src;
dialog.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'})); seen.second = shown();
dialog.click(); seen.closed = !dialog.open;
document.body.append(Object.assign(document.createElement('pre'), {
  id: 'seen', textContent: JSON.stringify(seen)}));
"""


@pytest.fixture
def seen(made_up, tmp_path):
    """Return what a browser shows after each step."""
    if BROWSER is None:
        pytest.skip('no Chromium is installed')
    write_report([made_up.make_evaluation(made_up.make_bag('sim', 14), made_up.make_bag(
        'shifted', 14))], tmp_path, images=made_up.draw_images)
    page = tmp_path / 'driven.html'
    text = (tmp_path / 'report.html').read_text()
    page.write_text(text.replace('</body>', f'<script>{LOOK}</script></body>'))
    done = subprocess.run(
        [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}/me',
         '--dump-dom', page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(unescape(found[1]))


def test_the_table_sorts_and_filters_and_frames_enlarge(seen):
    scores = np.array(seen['up'], float)
    assert seen['controls'] and (np.diff(scores) >= 0).all() and len(scores) == 28
    assert (np.diff(np.array(seen['down'], float)) <= 0).all()
    # As numbers: 10 comes after 9.
    assert [int(x) for x in seen['numbers']] == sorted(int(x) for x in seen['before'])
    assert set(seen['held']) == {'held'} and seen['count'] == str(len(seen['held'])) < '28'
    assert set(seen['domains']) == {'shifted'} and set(seen['text']) == {'lying capsule'}
    assert seen['all'] == 28
    assert seen['open'] and seen['same'] and seen['closed'] and seen['first'] != seen['second']
    assert seen['first'].startswith('Attempt ') and 'score 0.' in seen['first']


def test_the_table_has_each_attempt_with_its_keys_and_is_whole_without_the_script(
        made_up, tmp_path):
    bag = made_up.make_bag('sim', 12)
    write_report([made_up.make_evaluation(bag)], tmp_path)
    text = (tmp_path / 'report.html').read_text()
    table = text[text.index('<table class="dense sorted">'):]
    table = table[:table.index('</table>')]
    assert table.count('<tr data-domain="sim"') == 12
    for one in bag.attempts:
        assert f'data-sort="{one.score:.9g}"' in table
    assert '<div class="controls" hidden>' in text
