"""
Print the measures of the house: python scripts/house.py [--base REV].

With --base, the same measures of an older commit stand beside them.
"""

import argparse
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
import io
from pathlib import Path
import re
import statistics
import subprocess
import sys
import tarfile
from tempfile import TemporaryDirectory

PACKAGE = 'moss_perception'
ROOT = Path(__file__).resolve().parents[1]
# So many equal lines in a row count as written twice.
RUN = 6


@dataclass(frozen=True)
class Sources:
    """
    The modules of the installed package, which hold neither the study nor the benchmarks.

    :ivar lines: of each file, by its path below the package's folder.
    """

    lines: dict[str, list[str]]

    @classmethod
    def read(cls, root: Path) -> 'Sources':
        """
        Read a source tree.

        :raises FileNotFoundError: if it has no folder of the package.
        """
        folder = root / PACKAGE
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder} is not there: expected the folder of the package')
        return cls({str(path.relative_to(folder)): path.read_text('utf-8').splitlines()
                    for path in sorted(folder.rglob('*.py'))})


def measure(sources: Sources, toy: str) -> dict[str, str]:
    """
    Measure a source tree.

    :param toy: the name under which the tests register their toy model.
    :returns: what is measured and its value, both in words.
    """
    lengths = [len(lines) for lines in sources.lines.values()]
    chain, repeated = longest_chain(sources), duplicates(sources)
    return {
        'product lines': f'{sum(lengths):,}',
        'modules': f'{len(lengths):,}',
        'median module length': f'{statistics.median(lengths):g}',
        f"modules that name the toy model '{toy}'": str(len(naming(sources, toy))),
        'longest import chain': f'{len(chain)} modules',
        f'duplicated runs of {RUN} lines and more': (
            f'{len(repeated)} ({sum(count for _, _, count in repeated)} lines)')}


def naming(sources: Sources, toy: str) -> list[str]:
    """List the modules that hold a name as a string of its own."""
    pattern = re.compile(f'["\']{re.escape(toy)}["\']')
    return [name for name, lines in sources.lines.items()
            if any(pattern.search(line) for line in lines)]


def longest_chain(sources: Sources) -> list[str]:
    """
    Find the longest chain of modules that import one another while they are loaded.

    Imports inside functions are left out: they load nothing before it is needed.
    """
    modules = {_module(name): name for name in sources.lines}
    imports = {module: sorted(set(_imports(sources.lines[name])) & modules.keys() - {module})
               for module, name in modules.items()}

    below: dict[str, list[str]] = {}
    try:
        for module in TopologicalSorter(imports).static_order():
            below[module] = [
                module, *max((below[other] for other in imports[module]), key=len, default=[])]
    except CycleError as error:
        raise SystemExit(f'modules import one another in a circle: {" <- ".join(error.args[1])}'
                         ) from error
    return max(below.values(), key=len)


def _module(name: str) -> str:
    parts = Path(name).with_suffix('').parts
    return '.'.join([PACKAGE, *(parts[:-1] if parts[-1] == '__init__' else parts)])


def _imports(lines: list[str]) -> Iterator[str]:
    """Name the modules of the package that are imported at a module's top level."""
    for node in _top_level(ast.parse('\n'.join(lines)).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _top_level([x for x in ast.walk(node) if isinstance(
                x, (ast.Import, ast.ImportFrom))])


def duplicates(sources: Sources) -> list[tuple[str, int, int]]:
    """
    Find runs of lines that stand somewhere before, too.

    Indentation, empty lines and imports do not count: two modules that need the same names
    import them alike.

    :returns: module, number of the first line (from 1), and how many lines that count.
    """
    seen: set[tuple[str, ...]] = set()
    found = []
    for name, lines in sources.lines.items():
        imports = _import_lines(lines)
        numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1)
                    if line.strip() and number not in imports]
        texts = [text for _, text in numbered]
        windows = [tuple(texts[i:i + RUN]) for i in range(len(texts) - RUN + 1)]
        repeated = [i for i, window in enumerate(windows)
                    if window in seen or window in windows[:max(0, i - RUN + 1)]]
        seen.update(windows)
        for first, last in _runs(repeated):
            found.append((name, numbered[first][0], last - first + RUN))
    return found


def _import_lines(lines: list[str]) -> set[int]:
    return {
        number for node in ast.walk(ast.parse('\n'.join(lines)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Join numbers that follow one another: first and last of each run."""
    start = None
    for index, number in enumerate(numbers):
        start = number if start is None else start
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield start, number
            start = None


def read_commit(revision: str) -> Sources:
    """
    Read the sources of a commit.

    :raises FileNotFoundError: if git does not know the commit, or it has no such package.
    """
    done = subprocess.run(['git', '-C', str(ROOT), 'archive', revision, PACKAGE],
                          capture_output=True)
    if done.returncode:
        raise FileNotFoundError(f'--base {revision}: {done.stderr.decode().strip()}')
    with TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        # Python 3.11.2 of Debian 12 does not know filters yet.
        safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
        archive.extractall(folder, **safe)
        return Sources.read(Path(folder))


def main(argv: list[str] | None = None) -> int:
    """
    Print the measures as a table.

    :returns: the exit status: 0, or 1 if a commit can't be read.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--base', metavar='REV', help='a commit to print beside this tree')
    parser.add_argument('--toy', default='toy', metavar='NAME',
                        help='registered name of the model that the tests define (%(default)s)')
    parser.add_argument('--list', action='store_true',
                        help='also list the import chain and each duplicated run')
    arguments = parser.parse_args(argv)
    try:
        trees = {'now': Sources.read(ROOT)}
        if arguments.base:
            trees = {arguments.base: read_commit(arguments.base), **trees}
    except FileNotFoundError as error:
        print(f'house.py: {error}', file=sys.stderr)
        return 1
    measured = {name: measure(sources, arguments.toy) for name, sources in trees.items()}
    for row in zip(['', *next(iter(measured.values()))],
                   *([name, *values.values()] for name, values in measured.items()), strict=True):
        print('  '.join(text.ljust(width) for text, width in zip(
            row, [46, *[max(map(len, [name, *values.values()]))
                        for name, values in measured.items()]], strict=True)).rstrip())
    if arguments.list:
        print('\nimport chain: ' + ' -> '.join(longest_chain(trees['now'])))
        for name, number, count in duplicates(trees['now']):
            print(f'{PACKAGE}/{name}:{number}: {count} lines stand elsewhere, too')
    return 0


if __name__ == '__main__':
    sys.exit(main())
