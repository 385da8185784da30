"""The measures of the house, on small trees."""

import importlib.util
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIX = [f'value_{n} = {n}' for n in range(6)]


@pytest.fixture(scope='module')
def house():
    spec = importlib.util.spec_from_file_location('house', ROOT / 'scripts' / 'house.py')
    sys.modules['house'] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(house, **modules):
    return house.Sources({f'{name}.py': lines for name, lines in modules.items()})


def test_the_longest_chain_follows_imports_that_run_at_once(house):
    tree = sources(
        house, a=['from moss_perception.b import x'], b=['import moss_perception.c'],
        c=['def f():', '    import moss_perception.d'],
        d=['from typing import TYPE_CHECKING', 'if TYPE_CHECKING:',
           '    from moss_perception import a'])
    assert house.longest_chain(tree) == [f'moss_perception.{x}' for x in 'abc']


def test_an_import_that_is_tried_counts(house):
    tree = sources(house, a=['try:', '    from moss_perception import b',
                             'except ImportError:', '    b = None'], b=[])
    assert house.longest_chain(tree) == ['moss_perception.a', 'moss_perception.b']


def test_modules_that_import_one_another_are_named(house):
    tree = sources(house, a=['import moss_perception.b'], b=['import moss_perception.a'])
    with pytest.raises(SystemExit, match='in a circle: moss_perception.[ab] <- moss_perception.'):
        house.longest_chain(tree)


def test_six_equal_lines_are_a_run_whatever_their_indentation(house):
    tree = sources(house, a=SIX, b=['def f():', '', *(f'    {line}' for line in SIX)])
    assert house.duplicates(tree) == [('b.py', 3, 6)]


def test_longer_runs_are_counted_once_and_in_the_module_itself_too(house):
    tree = sources(house, a=[*SIX, 'seven = 7', 'between = 0', *SIX, 'seven = 7'])
    assert house.duplicates(tree) == [('a.py', 9, 7)]


def test_five_equal_lines_and_equal_imports_are_no_run(house):
    imports = [f'import module_{n}' for n in range(8)]
    tree = sources(house, a=[*imports, *SIX[:5]], b=[*imports, *SIX[:5]])
    assert house.duplicates(tree) == []


def test_the_name_of_the_toy_model_is_found_as_a_string(house):
    tree = sources(house, a=["register('toy')"], b=['toy = "toys"'], c=['x = "toy"'])
    assert house.naming(tree, 'toy') == ['a.py', 'c.py']


def test_a_commit_is_measured_beside_the_tree(house, tmp_path, monkeypatch, capsys):
    (tmp_path / 'moss_perception').mkdir()
    module = tmp_path / 'moss_perception' / '__init__.py'
    module.write_text('one = 1\n')

    def git(*words):
        subprocess.run(['git', '-C', str(tmp_path), '-c', 'user.name=n', '-c', 'user.email=e',
                        *words], check=True, capture_output=True)
    git('init')
    git('add', '.')
    git('commit', '-m', 'one')
    module.write_text('one = 1\ntwo = 2\n')
    monkeypatch.setattr(house, 'ROOT', tmp_path)
    assert house.main(['--base', 'HEAD']) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ['HEAD', 'now'] and rows[1] == ['product', 'lines', '1', '2']
    assert house.main(['--base', 'nothing']) == 1
    assert '--base nothing: ' in capsys.readouterr().err


def test_this_tree_is_measured():
    done = subprocess.run([sys.executable, str(ROOT / 'scripts' / 'house.py')], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'product lines' in done.stdout and 'longest import chain' in done.stdout
