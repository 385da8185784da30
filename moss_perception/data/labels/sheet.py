"""Tables as people save them: CSV in its many forms, and XLSX, as columns of text."""

from collections.abc import Callable, Iterator, Sequence
import csv
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
import io
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.core.text import clean

_XLSX = ('.xlsx', '.xlsm')
_OTHER = ('.xls', '.ods', '.numbers')
# A table of outcomes is small. These bounds stop files that are something else.
_LARGEST_BYTES, _MOST_LINES, _MOST_COLUMNS = 1 << 25, 200_000, 500
_LARGEST_UNPACKED = 1 << 28


@dataclass(frozen=True)
class Sheet:
    """
    A table of text.

    :ivar path: file that it was read from.
    :ivar columns: headings as written, without the blanks around them.
    :ivar rows: number of the line in the file (or of the row in a spreadsheet), and its cells,
        without the blanks around them. Empty lines and comments are left out.
    :ivar notes: what the reader should know of how it was read.
    """

    path: Path
    columns: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]
    notes: Sequence[str] = ()

    @property
    def at(self) -> str:
        """Return the word for the place of a row."""
        return 'row' if self.path.suffix.lower() in _XLSX else 'line'


def read_sheet(path: Path | str, known: Callable[[str], object] = bool) -> Sheet:
    """
    Read a table with a heading.

    A text file may have commas, semicolons or tabs between its columns, a byte order mark, and
    lines that begin with ``#``, which are comments. XLSX needs openpyxl; the first worksheet is
    read.

    :param known: whether a heading is one that the caller knows. A comment with two of them is
        the heading.
    :raises BagError: if it can't be read, or is too large for a table.
    """
    path = Path(path)
    try:
        if not path.stat().st_size <= _LARGEST_BYTES:
            raise BagError(f"outcomes {path} can't be read: {path.stat().st_size} bytes, expected "
                           f'at most {_LARGEST_BYTES}')
        if not path.is_file():
            raise BagError(f"outcomes {path} can't be read: expected a file, CSV or XLSX")
        notes: list[str] = []
        lines = list(_lines_of(path, notes))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
        raise BagError(f"outcomes {path} can't be read as a CSV or XLSX: {reason}") from error
    return replace(_with_heading(path, lines, known), notes=notes)


def _with_heading(path: Path, lines: list[tuple[int, list[str]]],
                  known: Callable[[str], object]) -> Sheet:
    """Find the heading, which may begin with ``#`` as a comment does."""
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in lines]
    lines = [(number, cells) for number, cells in lines if any(cells)]
    told = [(number, cells) for number, cells in lines
            if not cells[0].startswith('#')
            or sum(bool(known(cell.lstrip('# ') or cell)) for cell in cells if cell) > 1]
    if not told:
        return Sheet(path, (), ())
    (_, heading), *rest = told
    # '# start, end' begins with a comment's sign, while '#' alone names a column of numbers.
    heading = [heading[0].lstrip('# ') or heading[0], *heading[1:]]
    # A heading may have line ends, and goes into messages of one line.
    heading = [' '.join(clean(one).split()) for one in heading]
    while heading and not heading[-1]:
        heading.pop()
    return Sheet(path, heading, [x for x in rest if not x[1][0].startswith('#')])


def _lines_of(path: Path, notes: list[str]) -> Iterator[tuple[int, list[str]]]:
    suffix = path.suffix.lower()
    if suffix in _OTHER:
        raise BagError(f"outcomes {path} can't be read: {suffix} is not supported, save the table "
                       'as .xlsx or .csv')
    return _xlsx_lines(path) if suffix in _XLSX else _text_lines(path, notes)


def _text_lines(path: Path, notes: list[str]) -> Iterator[tuple[int, list[str]]]:
    text = _decoded(path, path.read_bytes(), notes)
    first, _, rest = text.partition('\n')
    # Excel reads this line, and writes it.
    if declared := first.strip().lower().startswith('sep=') and first.strip()[4:5]:
        text = '\n' + rest
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=declared or _delimiter(text),
                        skipinitialspace=True)
    for cells in reader:
        if reader.line_num > _MOST_LINES or len(cells) > _MOST_COLUMNS:
            raise BagError(f'outcomes {path}, line {reader.line_num}: {len(cells)} cells, expected'
                           f' a table of at most {_MOST_LINES} lines and {_MOST_COLUMNS} columns')
        yield reader.line_num, cells


def _decoded(path: Path, data: bytes, notes: list[str]) -> str:
    """Decode a text file: UTF-8, Excel's "Unicode text" (UTF-16), or else Windows-1252."""
    if data.startswith((b'\xff\xfe', b'\xfe\xff')):
        return data.decode('utf-16')
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError:
        try:
            text = data.decode('cp1252')
        except UnicodeDecodeError as error:
            raise BagError(f"outcomes {path} can't be read as a CSV or XLSX: it is no text, "
                           'expected UTF-8') from error
        notes.append('it is not UTF-8, and is read as Windows-1252')
    if '\0' in text:
        raise BagError(f"outcomes {path} can't be read as a CSV or XLSX: it is no text, "
                       'expected UTF-8')
    return text


def _delimiter(text: str) -> str:
    """Return what separates the columns of the first line that is not a comment."""
    lines = [x for x in text.splitlines() if x.strip()]
    heading = next((x for x in lines if not x.lstrip('" ').startswith('#')), '') or ''.join(
        lines[:1])
    # The heading may be a comment itself. Then the lines below it show the delimiter, too.
    return max('\t;,', key=heading.count) if any(map(heading.count, '\t;,')) else ','


def _xlsx_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first worksheet, with the values of formulas as they were saved."""
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise BagError(f"outcomes {path} can't be read: XLSX needs openpyxl, which is not "
                       "installed: expected the extra 'xlsx' (pip install openpyxl), or a CSV "
                       'file') from error
    try:
        _check_size(path)
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            for number, row in enumerate(book.worksheets[0].iter_rows(
                    max_row=_MOST_LINES, max_col=_MOST_COLUMNS, values_only=True), start=1):
                yield number, [_text(cell) for cell in row]
        finally:
            book.close()
    except BagError:
        raise
    except Exception as error:  # damaged bytes make a parser raise anything
        raise BagError(f"outcomes {path} can't be read as XLSX: "
                       f'{" ".join(str(error).split()) or type(error).__name__}') from error


def _check_size(path: Path) -> None:
    import zipfile
    with zipfile.ZipFile(path) as archive:
        size = sum(x.file_size for x in archive.infolist())
    if size > _LARGEST_UNPACKED:
        raise BagError(f"outcomes {path} can't be read: {size} bytes when unpacked, expected at "
                       f'most {_LARGEST_UNPACKED}')


def _text(cell: Any) -> str:
    """Write a cell's value as it would stand in a CSV file."""
    if cell is None:
        return ''
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.isoformat(sep=' ')
    if isinstance(cell, float):
        # Never with an exponent, and 3.0 as 3.
        text = format(Decimal(repr(cell)), 'f')
        return text.rstrip('0').rstrip('.') if '.' in text else text
    return str(cell)
