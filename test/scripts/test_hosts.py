"""The recipes for other libraries, and the script that runs them."""

from contextlib import nullcontext
import importlib.util
import json
from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'scripts/requirements'


def load(path, name=''):
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


hosts = load(ROOT / 'scripts/hosts.py', 'hosts_script')
genuine = load(ROOT / 'test/moss/hosts.py', 'genuine_hosts')


def test_every_recipe_has_pinned_packages_and_every_list_a_recipe():
    files = {path.stem: path.read_text() for path in (REQUIREMENTS / 'hosts').glob('*.txt')}
    assert set(files) == set(hosts.recipes())
    for name, text in files.items():
        lines = [line for line in text.splitlines() if not line.startswith('#')]
        assert lines and all(re.fullmatch(r'[\w.-]+==[\w.]+', line) for line in lines), name


@pytest.mark.parametrize('name', sorted(hosts.recipes()))
def test_a_recipe_is_python_and_uses_the_block(name):
    code = hosts.recipes()[name]
    compile(code, name, 'exec')
    assert 'MOSS(' in code and 'assert' in code


@pytest.mark.parametrize(('name', 'package'), [
    ('onnx', 'onnxscript'), ('pytorchvideo', 'pytorchvideo.models.resnet'), ('timm', 'timm'),
    ('transformers', 'transformers')])
def test_a_recipe_whose_packages_are_here_runs(name, package):
    # transformers asks for the version of a torchvision that it finds.
    without = nullcontext() if name == 'transformers' else genuine.torchvision_placeholders()
    with without:
        pytest.importorskip(package)
        exec(hosts.recipes()[name], {})


def test_the_page_has_a_row_for_each_recipe_with_the_versions_that_it_ran_with(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'docs/generate')
    made = load(ROOT / 'docs/generate/hosts.py', 'hosts_page')
    text = hosts.PAGE.read_text(encoding='utf-8')
    assert made.markdown() in text and made.filled(text) == text
    tried = json.loads((ROOT / 'docs/results/hosts.json').read_text())
    assert set(tried) == set(hosts.recipes())
    torch = (REQUIREMENTS / 'torch.txt').read_text().strip().partition('==')[2]
    for name, versions in tried.items():
        assert f'| {name} |' in text and versions['torch'].startswith(torch)


@pytest.mark.parametrize(('words', 'message'), [
    ([], 'nothing to run: expected scripts/hosts.sh NAME'),
    (['jax'], "unknown library 'jax': expected --all or one of timm"),
    (['timm', '--folder'], '--folder needs a folder'),
    (['timm', '--folder', str(ROOT / 'envs')], 'lies in the repository')])
def test_wrong_arguments_of_the_script_are_named(words, message):
    done = subprocess.run(['bash', ROOT / 'scripts/hosts.sh', *words], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and message in done.stderr


def test_the_script_lists_the_libraries():
    done = subprocess.run(['bash', ROOT / 'scripts/hosts.sh', '--list'], capture_output=True,
                          text=True, timeout=60)
    assert done.stdout.split() == list(hosts.recipes()) and done.returncode == 0


def test_a_recipe_that_fails_leaves_the_results_as_they_are(tmp_path, monkeypatch, capfd):
    page = tmp_path / 'page.md'
    page.write_text('text\n\n<!-- host: timm -->\n```python\nassert 1 == 2\n```\n')
    monkeypatch.setattr(hosts, 'PAGE', page)
    monkeypatch.setattr(hosts, 'RESULTS', tmp_path / 'hosts.json')
    assert hosts.main(['timm']) == 1 and not hosts.RESULTS.exists()
    # The traceback names the page's own line.
    assert 'line 5, in <module>' in capfd.readouterr().err


def test_an_unknown_recipe_is_named(capsys):
    assert hosts.main(['jax']) == 2
    assert "unknown library 'jax': expected one of timm" in capsys.readouterr().err
