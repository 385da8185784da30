"""What the package must not do: run what it reads, and load what it did not verify."""

import ast
from pathlib import Path
import re

from moss_perception.core.files import OutputFolder, replaced
import pytest

ROOT = Path(__file__).resolve().parents[1]
# The study and the tests run on a developer's machine, on files of their own.
FOLDERS = ('moss_perception', 'launch', 'scripts', 'docs', 'examples', 'benchmarks')
FILES = sorted([Path('setup.py'), *(x.relative_to(ROOT) for folder in FOLDERS
                                    for x in (ROOT / folder).rglob('*.py'))])
MODULES = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve',
           'telnetlib', 'ftplib', 'xmlrpc', 'imp'}
CALLS = {'eval', 'exec', 'os.system', 'os.popen', 'subprocess.getoutput', 'tempfile.mktemp',
         'subprocess.getstatusoutput', 'yaml.load', 'yaml.load_all', 'yaml.unsafe_load',
         'yaml.full_load', 'yaml.unsafe_load_all', 'yaml.full_load_all'}
PROCESSES = {'run', 'Popen', 'call', 'check_call', 'check_output'}
SAFE_LOADERS = {'SafeLoader', 'CSafeLoader'}


def problems(path: Path, text: str) -> list[str]:
    """List what is forbidden in a source."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module or ''] if isinstance(node, ast.ImportFrom) else [])
        found += [f'imports {x}' for x in names if x.split('.')[0] in MODULES]
        if isinstance(node, ast.Call):
            found += problems_of_call(ast.unparse(node.func), {
                word.arg: word.value for word in node.keywords}, node)
    return [f'{path}: {x}' for x in found]


def problems_of_call(name, words, node):
    loader = words.get('Loader', node.args[1] if len(node.args) > 1 else None)
    if name in CALLS and not (name in ('yaml.load', 'yaml.load_all') and is_safe(loader)):
        yield f'calls {name} on line {node.lineno}'
    if name.split('.')[-1] in PROCESSES and getattr(
            words.get('shell'), 'value', 'shell' in words or False) is not False:
        yield f'runs a shell on line {node.lineno}'
    if name == 'torch.load' and getattr(words.get('weights_only'), 'value', None) is not True:
        yield f'torch.load without weights_only=True on line {node.lineno}'
    if name in ('np.load', 'numpy.load') and getattr(
            words.get('allow_pickle'), 'value', None) is True:
        yield f'np.load of pickles on line {node.lineno}'
    if name in ('np.save', 'numpy.save', 'Environment', 'jinja2.Environment') and getattr(
            words.get('autoescape'), 'value', True) is False:
        yield f'no autoescape on line {node.lineno}'


def is_safe(loader):
    """Tell whether a loader of YAML makes no objects; one of the package is based on such."""
    name = '' if loader is None else ast.unparse(loader).split('.')[-1]
    if name in SAFE_LOADERS:
        return True
    based = re.compile(rf'class {re.escape(name)}\((?:yaml\.)?C?SafeLoader\)')
    return bool(name) and any(based.search((ROOT / x).read_text()) for x in FILES)


@pytest.mark.parametrize('path', FILES, ids=str)
def test_no_source_runs_or_unpickles_what_it_reads(path):
    assert problems(path, (ROOT / path).read_text(encoding='utf-8')) == []


@pytest.mark.parametrize('text', [
    'import pickle', 'from pickle import loads', 'import joblib.parallel', 'eval("1")', 'exec(x)',
    'import os; os.system("ls")', 'subprocess.run("ls", shell=True)',
    'subprocess.run("ls", shell=chosen)', 'yaml.load(x)', 'yaml.load(x, yaml.Loader)',
    'yaml.load(x, Loader=yaml.FullLoader)', 'yaml.unsafe_load(x)', 'torch.load(x)',
    'torch.load(x, weights_only=False)', 'np.load(x, allow_pickle=True)',
    'jinja2.Environment(autoescape=False)', 'tempfile.mktemp()'])
def test_each_kind_is_found(text):
    assert len(problems(Path('made_up.py'), text)) == 1


@pytest.mark.parametrize('text', [
    'yaml.safe_load(x)', 'yaml.load(x, Loader=yaml.SafeLoader)', 'model.eval()',
    'subprocess.run(["ls"])', 'torch.load(x, weights_only=True)', 'np.load(x)'])
def test_what_is_safe_is_allowed(text):
    assert problems(Path('made_up.py'), text) == []


def test_a_file_is_not_written_through_a_link_to_elsewhere(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('mine')
    (tmp_path / 'result.json').symlink_to(secret)
    with replaced(tmp_path / 'result.json') as partial:
        partial.write_text('new')
    assert secret.read_text() == 'mine'
    assert (tmp_path / 'result.json').read_text() == 'new'
    assert not (tmp_path / 'result.json').is_symlink()


def test_results_are_not_written_through_links(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('mine')
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'report.html').symlink_to(secret)
    with OutputFolder(out, 'the report cannot be written to') as folder:
        folder.write('report.html', 'new')
        folder.publish()
    assert secret.read_text() == 'mine'


@pytest.mark.parametrize('name', ['jazzy', 'kilted'])
def test_the_hashed_requirements_are_those_of_the_setup(name):
    folder = ROOT / 'scripts' / 'requirements'
    hashed = (folder / 'hashed' / f'{name}.txt').read_text()
    pinned = set(re.findall(r'^([\w.-]+==[^\s;\\]+)', hashed, re.MULTILINE))
    assert all('--hash=sha256:' in block for block in re.split(r'\n(?=\w)', hashed.strip()))
    for source in ('demo.txt', 'bare.txt', f'{name}.txt'):
        for line in (folder / source).read_text().splitlines():
            if '==' in line and not line.startswith('#'):
                assert line.split(';')[0].strip() in pinned, (
                    f'{source}: {line}: run bash scripts/supply_chain.sh hashes')
