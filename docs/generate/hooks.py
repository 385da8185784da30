"""
Hooks of the site: fill pages with tables made from the code.

A line ``<!-- generated: NAME -->`` in a page is replaced by what :data:`GENERATORS` makes of NAME.
"""

from pathlib import Path
import re
import sys

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[2]
# mkdocs loads this file by its path; its neighbours and the package are found through these.
for folder in (str(ROOT), str(Path(__file__).parent)):
    if folder not in sys.path:
        sys.path.insert(0, folder)

import cell_file  # noqa: E402
import commands  # noqa: E402
import domains  # noqa: E402
import latencies  # noqa: E402
import parameters  # noqa: E402
import reliability  # noqa: E402
import topics  # noqa: E402

GENERATORS = {
    'parameters': parameters.markdown,
    'topics': topics.markdown,
    'commands': commands.markdown,
    'launch': commands.launch_markdown,
    'domains': domains.markdown,
    'cell_file': cell_file.markdown,
    'latencies': latencies.markdown,
    **{f'reliability_{part}': reliability.markdown(part) for part in reliability.WRITERS},
}
_MARK = re.compile(r'^<!-- generated: (\S+) -->$', re.MULTILINE)
# Sphinx roles in docstrings; mkdocstrings shows them as they are.
_ROLE = re.compile(r':(?:class|func|meth|data|attr|mod|exc):<code>~?([\w.]+)</code>')


def on_page_markdown(markdown, page, **_):
    """Fill in what is generated."""
    def fill(found):
        try:
            return GENERATORS[found[1]]()
        except KeyError:
            raise PluginError(f'{page.file.src_uri} asks for {found[1]!r} to be generated: '
                              f'expected one of {", ".join(GENERATORS)}') from None
    return _MARK.sub(fill, markdown)


def on_page_content(html, **_):
    """Write roles of docstrings as code."""
    return _ROLE.sub(lambda found: f'<code>{found[1].rpartition(".")[2]}</code>', html)
