"""
Run a recipe of docs/moss.md, and note the versions it ran with: called by scripts/hosts.sh.

    python scripts/hosts.py NAME         run the recipe of a library
    python scripts/hosts.py --list       print the names
"""

import importlib.metadata
import json
from pathlib import Path
import platform
import re
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / 'docs/moss.md', ROOT / 'docs/results/hosts.json'
REQUIREMENTS = ROOT / 'scripts/requirements/hosts'
_RECIPE = re.compile(r'^<!-- host: (\w+) -->\n```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_NAME = re.compile(r'^([A-Za-z0-9_.-]+)', re.MULTILINE)


def recipes() -> dict[str, str]:
    """Return the recipes of the page by the name of their library."""
    return dict(_RECIPE.findall(PAGE.read_text(encoding='utf-8')))


def versions(name: str) -> dict[str, str]:
    """Return the installed versions of a recipe's packages, and of torch and Python."""
    packages = [line for line in (REQUIREMENTS / f'{name}.txt').read_text().splitlines()
                if not line.startswith('#')]
    found = [_NAME.match(line)[1] for line in packages if _NAME.match(line)]
    return {'python': platform.python_version(),
            **{one: importlib.metadata.version(one) for one in ('torch', *found)}}


def main(words: list[str]) -> int:
    """Run the command; return its exit status."""
    known = recipes()
    if words == ['--list']:
        print('\n'.join(known))
        return 0
    if len(words) != 1 or words[0] not in known:
        print(f'unknown library {" ".join(words)!r}: expected one of {", ".join(known)}',
              file=sys.stderr)
        return 2
    name, began = words[0], time.monotonic()
    # In a process of its own; what fails shows its traceback, with the lines of this page.
    done = subprocess.run([sys.executable, '-'], input='\n' * _line(name) + known[name],
                          text=True, check=False)
    if done.returncode:
        print(f'{name}: the recipe failed; its lines are those of {PAGE}', file=sys.stderr)
        return 1
    tried = {**versions(name), 'date': time.strftime('%Y-%m-%d')}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = tried
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=2) + '\n')
    print(f'{name}: the recipe works after {time.monotonic() - began:.1f} s; ' + ', '.join(
        f'{one} {version}' for one, version in tried.items()))
    return 0


def _line(name: str) -> int:
    """Return the number of lines before a recipe, so that tracebacks name the page's lines."""
    text = PAGE.read_text(encoding='utf-8')
    return text[:text.index(f'<!-- host: {name} -->')].count('\n') + 2


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
