"""The examples of the documentation run, and show what they say."""

import doctest
import importlib.util
import json
from pathlib import Path
import re

import pytest

from study import early_scores, motion_error, rates
from study.object_motion import table as velocities
from study.pages import blocks, fill
from study.table import tables
from study.video.page import DRAWN, filled, FORMATS, picture_path, read_result

DOCS = Path(__file__).resolve().parents[1] / 'docs'
STUDY = DOCS.parent / 'study'
# Recipes for other libraries are run by scripts/hosts.sh.
FENCED = re.compile(r'(?<!-->\n)^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def examples(name):
    """Return the fenced examples of a page, each with the line that it begins at."""
    text = (DOCS / name).read_text(encoding='utf-8')
    return [(found[1], text.count('\n', 0, found.start(1))) for found in FENCED.finditer(text)]


def run(name, found):
    """Run examples in one session, and fail with what differs."""
    parser, runner, report, names = doctest.DocTestParser(), doctest.DocTestRunner(), [], {}
    for text, line in found:
        test = parser.get_doctest(text, names, name, str(DOCS / name), line)
        assert test.examples, f'{name}:{line}: an example without >>> is not run'
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
    assert not runner.failures, ''.join(report)


def needs(text, package):
    return f'from {package} import' in text or f'import {package}' in text


def test_the_examples_of_the_moss_page():
    for package in 'onnxruntime', 'onnxscript':
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'the examples of docs/moss.md need {package}')
    found = [example for example in examples('moss.md') if not needs(example[0], 'transformers')]
    assert len(found) > 10
    run('moss.md', found)


def test_the_example_with_a_model_of_transformers():
    pytest.importorskip('transformers')
    found = [example for example in examples('moss.md') if needs(example[0], 'transformers')]
    assert len(found) == 1
    run('moss.md', found)


def test_the_first_example_with_moss_of_the_readme_runs_and_does_what_it_says():
    text = (DOCS.parent / 'README.md').read_text(encoding='utf-8')
    code = next(found[1] for found in FENCED.finditer(text) if 'attach' in found[1])
    names: dict = {}
    exec(code, names)
    torch = names['torch']
    torch.testing.assert_close(torch.cat(names['steps']), names['maps'], atol=1e-5, rtol=1e-5)
    assert hasattr(names['backbone'][1], 'moss')


def test_pages_point_to_files_that_exist():
    pages = [*DOCS.rglob('*.md'), *(STUDY / 'docs').glob('*.md'), *DOCS.parent.glob('*.md'),
             *DOCS.parent.glob('samples/*.md')]
    for page in pages:
        for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', page.read_text(encoding='utf-8')):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page.name} points to {target}'


def test_pages_name_modules_that_exist():
    root = DOCS.parent
    pages = [*root.glob('*.md'), *root.glob('samples/*.md'), *DOCS.rglob('*.md'),
             *(STUDY / 'docs').glob('*.md')]
    for page in pages:
        for name in re.findall(r'`([\w./-]+/\w+\.(?:py|sh))`', page.read_text(encoding='utf-8')):
            assert any((folder / name).exists() for folder in (root, root / 'moss_perception')), (
                f'{page.name} names {name}')


@pytest.mark.parametrize(('page', 'name', 'table_of'), [
    ('results.md', 'models', lambda result: tables(result, 'displacement_12_time')),
    ('results.md', 'object_motion', lambda result: {'velocities': velocities(result)}),
    ('../../docs/moss.md', 'motion_error', lambda result: {'methods': motion_error.table(result)}),
    ('results.md', 'early_scores', lambda result: {'kinds': early_scores.table(result)}),
    ('results.md', 'rates', lambda result: {'success': rates.table(result)}),
    ('training.md', 'monitoring', lambda result: tables(result, 'mixed')),
    ('training.md', 'training', lambda result: tables(result, 'mixed'))])
def test_the_tables_of_the_results_are_those_of_the_stored_ones(page, name, table_of):
    text = (STUDY / 'docs' / page).read_text(encoding='utf-8')
    assert name in {result for result, _ in blocks(text)}
    stored = table_of(json.loads((STUDY / 'results' / f'{name}.json').read_text()))
    assert text == fill(text, lambda result, what: stored[what] if result == name else None)


def test_the_tables_on_video_are_those_of_the_stored_results_or_say_that_there_are_none():
    docs = STUDY.parent / 'docs'
    page = (docs / 'video.md').read_text(encoding='utf-8')
    results = {name: read_result(STUDY / f'results/{name}.json', name) for name in FORMATS}
    assert {name for name, _ in blocks(page)} == set(results)
    assert page == filled(page, results, 'images/video')
    for name in DRAWN:
        assert (results[name] is None) != picture_path(docs / 'images/video', name).exists()
