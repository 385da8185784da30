"""Tables of words: for a terminal, and as Markdown."""

from collections.abc import Sequence

from moss_perception.core.text import one_line


def lay_out(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """
    Align rows in columns for a terminal.

    :param rows: of one length; what is no text is written as ``str`` has it, and each cell in
        one line: see :func:`moss_perception.core.text.one_line`.
    :param head: names of the columns; empty for none.
    """
    # Here, since it takes 20 ms and a node needs it after its start only.
    from tabulate import tabulate
    # Lines without a rule below the head, and without blanks at their ends.
    cells = [list(map(one_line, row)) for row in rows]
    text = tabulate([*([head] if head else []), *cells], tablefmt='plain', disable_numparse=True)
    return '\n'.join(line.rstrip() for line in text.splitlines())


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align rows in columns, as a table of Markdown that can also be read on a terminal."""
    from tabulate import tabulate
    # As headers, tabulate would pad the names by two blanks more than any cell.
    cells = [list(map(one_line, row)) for row in rows]
    rule, *lines = tabulate([head, *cells], tablefmt='github', disable_numparse=True).splitlines()
    return '\n'.join([lines[0], rule, *lines[1:]])
