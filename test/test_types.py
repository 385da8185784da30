"""The annotations of the package hold, as a type checker sees them."""

import ast
import importlib.util
import json
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(importlib.util.find_spec('basedpyright') is None,
                    reason='basedpyright is not installed: bash scripts/setup.sh test installs it')
@pytest.mark.timeout(300)
def test_the_type_checker_finds_nothing():
    # Half a minute of computing; other processes on the same cores make it several times longer.
    done = subprocess.run(
        [sys.executable, '-m', 'basedpyright', '--project', str(ROOT / 'pyrightconfig.json'),
         '--pythonpath', sys.executable, '--outputjson'],
        capture_output=True, text=True, timeout=280)
    assert done.stdout.lstrip().startswith('{'), done.stdout + done.stderr
    found = json.loads(done.stdout)
    lines = [f'{Path(one["file"]).relative_to(ROOT)}:{one["range"]["start"]["line"] + 1}: '
             f'{one["message"]} ({one.get("rule", one["severity"])})'
             for one in found['generalDiagnostics']]
    assert not lines, '\n'.join(lines)
    assert found['summary']['filesAnalyzed'] == len(list(ROOT.glob('moss_perception/**/*.py')))


def parameters(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield from (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)


def test_nodes_and_settings_have_types():
    known = ('node', 'settings', 'config', 'chosen')
    bare = [f'{path.relative_to(ROOT)}:{one.lineno}: {one.arg}'
            for path in ROOT.glob('moss_perception/**/*.py') for one in parameters(path)
            if one.arg in known and (
                one.annotation is None or ast.unparse(one.annotation) == 'Any')]
    assert not bare, '\n'.join(bare)


def test_other_packages_see_the_annotations():
    described = (ROOT / 'setup.py').read_text()
    assert (ROOT / 'moss_perception' / 'py.typed').exists() and "'py.typed'" in described
