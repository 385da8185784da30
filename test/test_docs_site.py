"""The documentation site builds, and describes what the code has."""

import ast
from dataclasses import fields
import importlib.util
import json
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys

from moss_perception.cli.main import build_parser
from moss_perception.core.codes import CODES
from moss_perception.core.resources import SHIPPED_MODEL
from moss_perception.models.manifest import read_header, read_manifest
from moss_perception.simulation.spreads import SPREADS
import pytest

from study.pages import blocks

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'moss_perception'
# Calls that name a reason by their first argument.
NAMED_BY = {'FrameError', 'SceneError', 'Refusal', '_refuse', 'restart'}
ROOMS = ('core', 'runtime', 'ros', 'simulation')

needs_mkdocs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('mkdocs', 'material', 'mkdocstrings')),
    reason='mkdocs is not installed: pip install -r scripts/requirements/docs.txt')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Build the site once, as scripts/docs.sh does."""
    folder = tmp_path_factory.mktemp('site')
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)],
        cwd=ROOT, env={**os.environ, 'PYTHONPATH': paths, 'NO_MKDOCS_2_WARNING': '1'},
        capture_output=True, text=True, timeout=85)
    assert done.returncode == 0, done.stderr
    return folder


def page(site, name):
    return (site / name).read_text(encoding='utf-8')


@needs_mkdocs
def test_the_index_has_four_doors(site):
    index = page(site, 'index.html')
    for door in ('Try it', 'My robot', 'My data', 'MOSS for researchers'):
        assert re.search(f'<h2[^>]*>{door}', index), door


@needs_mkdocs
def test_nothing_is_loaded_from_the_network(site):
    loads = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="?(https?://[^">\s]+)')
    for path in site.rglob('*.html'):
        assert not loads.findall(path.read_text(encoding='utf-8')), path.relative_to(site)


@needs_mkdocs
def test_the_reference_is_made_from_the_code(site):
    parameters = page(site, 'reference/parameters.html')
    assert 'latency_budget' in parameters and 'lock_step_timeout' in parameters
    topics = page(site, 'reference/topics.html')
    assert 'sensor_msgs/PointCloud2' in topics and 'selected_grasp' in topics
    commands = page(site, 'reference/commands.html')
    assert 'moss evaluate' in commands and '--require' in commands
    assert 'camera_info_topic' in page(site, 'reference/launch.html')
    assert 'receptive_field' in page(site, 'reference/python.html')
    assert '<!-- generated' not in parameters + topics + commands


def generator(name):
    """Import a module of docs/generate, as mkdocs does."""
    sys.path.insert(0, str(ROOT / 'docs' / 'generate'))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def test_every_node_has_its_parameters_described():
    parameters = generator('parameters')
    for node, kind in parameters.nodes().items():
        assert all(parameters.spec_of(item).description for item in fields(kind)), node


def test_every_topic_has_a_remark():
    topics = generator('topics')
    for node, found in topics.found().items():
        assert found, node
        missing = set(found) - set(topics.REMARKS[node])
        assert not missing, f'{node}: docs/generate/topics.py has no remark for {sorted(missing)}'


def reasons():
    """Collect the reasons of refusals, resets, skips and missing scores from the sources."""
    found = set()
    for path in (path for room in ROOMS for path in (PACKAGE / room).rglob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        names = constants_of(tree)
        for node in ast.walk(tree):
            found |= set(reasons_of(node, names))
    return found


def constants_of(tree):
    """Return the module's names of strings."""
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = zip(target.elts, node.value.elts, strict=True) if isinstance(
                    target, ast.Tuple) and isinstance(node.value, ast.Tuple) else [
                    (target, node.value)]
                names |= {one.id: value.value for one, value in pairs if isinstance(one, ast.Name)
                          and isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return names


def reasons_of(node, names):
    if isinstance(node, ast.ClassDef) and node.name.endswith('Reason'):
        for item in node.body:
            if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant):
                text = item.value.value
                yield text if isinstance(text, str) else item.targets[0].id.lower()
    elif isinstance(node, ast.Call) and node.args:
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(
            node.func, 'attr', '')
        first = node.args[0]
        if called in NAMED_BY and isinstance(first, ast.Constant):
            yield first.value
        elif called in NAMED_BY and isinstance(first, ast.Name) and first.id in names:
            yield names[first.id]
    elif isinstance(node, ast.FunctionDef) and 'reset_reason' in node.name:
        yield from (one.value for one in ast.walk(node) if isinstance(one, ast.Constant)
                    and isinstance(one.value, str) and one.value.isidentifier())


def test_the_reasons_are_found():
    assert {'zero_stamp', 'encoding', 'not_finite', 'gap', 'stamp_backwards', 'between_samples',
            'outside_image', 'reach', 'not_usable', 'unstable'} <= reasons()


def test_troubleshooting_describes_every_reason():
    text = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
    described = {word for line in text.splitlines() if line.startswith('|')
                 for word in re.findall(r'`(\w+)`', line)}
    missing = sorted(reasons() - described)
    assert not missing, f'docs/troubleshooting.md does not describe {missing}'


def test_the_figures_of_the_shipped_model_are_those_of_the_stored_results():
    shipped = generator('shipped')
    asked = []
    for page in shipped.PAGES:
        text = page.read_text(encoding='utf-8')
        found = [what for name, what in blocks(text) if name == 'shipped']
        assert found, f'{page.name} shows no figures of the shipped model'
        assert len(found) == len(set(found)), f'{page.name} shows a table twice'
        assert text == shipped.filled(text), 'run python docs/generate/shipped.py'
        asked += found
    assert set(asked) == set(shipped.TABLES)


def test_the_stored_results_are_of_the_shipped_weights():
    shipped = generator('shipped')
    path = ROOT / 'models' / SHIPPED_MODEL
    digest = read_manifest(path.parent)[path.name]
    # The fit of the OOD statistics leaves the weights as they are, and these know no uncertainty.
    fits = [step for step in read_header(path)[1].get('lineage', []) if step['by'] == 'ood fit']
    for name, found in shipped.evaluations(shipped.CARD_SETS).items():
        assert found['model_sha256'] in {digest, *(step['from'] for step in fits)}, name
    novelty = shipped.read('novelty_full')
    assert novelty['model_sha256'] == digest
    assert novelty['training_domain'] == fits[-1].get('domain', 'all')
    assert shipped.read('closed_loop_full')['checkpoints'][0]['sha256'] == digest
    assert shipped.read('closed_loop_latencies')['sha256'] == digest
    assert shipped.read('performance_precision')['model_sha256'] == digest
    rates = json.loads((ROOT / 'study/results/rates.json').read_text(encoding='utf-8'))
    assert rates['sha256'] == digest


@pytest.mark.parametrize('page', ['docs/model_card.md', 'docs/tutorials/own_model.md',
                                  'docs/how_to/train_on_your_recordings.md'])
def test_the_pages_know_the_default_lead_time_of_the_shipped_model(page):
    config, _ = read_header(ROOT / 'models' / SHIPPED_MODEL)
    text = (ROOT / page).read_text(encoding='utf-8')
    assert f'{config.default_lead_time_s:.3f} s' in text


def test_every_reason_has_a_code_and_every_code_a_row_that_leads_to_a_section():
    assert not sorted(reasons() - {'scored'} - set(CODES)), 'core/codes.py lacks them'
    text = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
    codes = generator('codes')
    assert text == codes.fill(text), 'run python docs/generate/codes.py'
    headings = {codes.anchor(found) for found in re.findall(r'^#+ (.+)$', text, re.MULTILINE)}
    for code in CODES.values():
        assert f'<a id="{str(code).lower()}"></a>{code}' in text
        assert codes.anchor(code.section) in headings, code.section


def commands(*starts):
    """Collect the commands of the pages and of scripts/reproduce.sh that start in these ways."""
    pages = [*ROOT.glob('*.md'), *ROOT.glob('samples/*.md'), *(ROOT / 'docs').rglob('*.md'),
             *(ROOT / 'study/docs').glob('*.md')]
    texts = {path.name: ''.join(re.findall(r'^```\n(.*?)^```$', path.read_text(encoding='utf-8'),
                                           re.DOTALL | re.MULTILINE)) for path in pages}
    texts['reproduce.sh'] = (ROOT / 'scripts/reproduce.sh').read_text(encoding='utf-8')
    for name, text in texts.items():
        for line in text.replace('\\\n', ' ').splitlines():
            if line.strip().startswith(starts):
                yield name, re.split(r' >| \| ', line.strip(), maxsplit=1)[0]


def test_the_commands_of_the_pages_are_understood():
    found = list(commands('moss '))
    assert len(found) > 20
    for page_name, line in found:
        words = shlex.split(line, comments=True)[1:]
        try:
            build_parser(*words[:1]).parse_args(words)
        except SystemExit as error:
            pytest.fail(f'{page_name}: {line!r} ends with {error.code}')


def test_the_commands_of_the_study_are_understood():
    found = list(commands('python -m study.'))
    assert {name for name, _ in found} == {
        'results.md', 'training.md', 'variants.md', 'reproduce.sh', 'own_robot.md', 'video.md'}
    for page_name, line in found:
        _, _, module, *words = shlex.split(line, comments=True)
        if module == 'study.train':
            parser, words = build_parser('train'), ['train', *words]
        else:
            # A package is run by its __main__.
            found_at = importlib.util.find_spec(module)
            is_package = found_at is not None and found_at.submodule_search_locations
            parser = importlib.import_module(
                f'{module}.__main__' if is_package else module).build_parser()
        # An array of the script is one of its own options.
        options = {'${first[@]}': [], '${moving[@]}': ['--scenes', '6'], '${options[@]}': [],
                   '${measured[@]}': ['--monitored', '60'],
                   '${variants[@]}': ['pooling'], '${on_clips[@]}': ['--folds', '2'],
                   '${on_questions[@]}': ['--questions', '40'],
                   '${validation[@]}': ['sim=a', 'shifted=b'], '${paired[@]}': ['sim=a'],
                   '${@:5}': ['--cache', 'maps', '--epochs', '3', '--initial', 'x']}
        words = [one for word in words for one in options.get(
            word, [re.sub(r'^\$\d$', '0', word)])]
        try:
            parser.parse_args(words)
        except SystemExit as error:
            pytest.fail(f'{page_name}: {line!r} ends with {error.code}')


def test_the_page_of_the_domains_lists_each_quantity_with_its_range():
    text = (ROOT / 'docs' / 'explanation' / 'domains.md').read_text(encoding='utf-8')
    assert '<!-- generated: domains -->' in text
    made = generator('domains').markdown()
    for name, spread in SPREADS.items():
        row, = (line for line in made.splitlines() if line.startswith(f'| `{name}` |'))
        assert f'| {spread.low:g} | {spread.mode:g} | {spread.high:g} |' in row
    assert len(made.splitlines()) == 2 + len(SPREADS)
