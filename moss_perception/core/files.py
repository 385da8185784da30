"""Files that are written as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import os
from pathlib import Path

from moss_perception.core.errors import MossError

# Characters of a name that its temporary name keeps: file systems take 255 bytes.
_LONGEST = 50


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """
    Write a file as a whole or not at all.

    Yields a temporary path in the same folder, which is created if missing. The file written
    there takes the place of ``path`` at the end, and is deleted after an error. A symbolic link
    at ``path`` is replaced, and the file that it leads to stays.

    :raises OSError: if the folder can't be created, the file can't take its place, or ``path`` is
        a device, pipe or folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_file() or path.is_symlink()):
        raise FileExistsError(errno.EEXIST, 'it is no regular file: expected a file or none')
    # A random name, since others may put a link at a name that they can predict, and since two
    # processes can write the same file: the last one wins. The dot and the suffix keep it out of
    # patterns such as 'scenes_*.npz'.
    temporary = path.with_name(f'.{path.name[:_LONGEST]}.{os.urandom(8).hex()}.partial')
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


class OutputFolder:
    """
    Write several results into a folder, all of them or none: a context manager.

    The results are written below a temporary folder inside of it, until :meth:`publish`.

    :param path: the folder; created if missing, and removed again if nothing is published.
    :param refusal: how messages begin that say that it can't be written, up to the path.
    :raises MossError: on entry, if the folder can't be written.
    """

    def __init__(self, path: Path, refusal: str):
        self.path, self._refusal = Path(path), refusal

    def __enter__(self) -> 'OutputFolder':
        # Here, since a node writes no files and they take milliseconds.
        import tempfile
        path = self.path.absolute()
        self._made = [p for p in (path, *path.parents) if not p.exists()]
        try:
            with self._refused():
                path.mkdir(parents=True, exist_ok=True)
                self._partial = Path(tempfile.mkdtemp(prefix='.partial-', dir=path))
                (self._partial / 'results').mkdir()
        except MossError:
            self._unmake()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        import shutil
        shutil.rmtree(self._partial, ignore_errors=True)
        self._unmake()

    def result(self, name: str) -> Path:
        """Return the path at which to write a result."""
        return self._partial / 'results' / name

    def scratch(self, name: str) -> Path:
        """Return the path of a temporary file."""
        return self._partial / name

    def write(self, name: str, text: str) -> None:
        """
        Write a result in UTF-8, with the line ends of the text.

        :raises MossError: if it can't be written, such as on a full disk.
        """
        with self._refused():
            self.result(name).write_bytes(text.encode())

    def publish(self) -> list[Path]:
        """
        Flush the results to the disk, and move them to their final paths, replacing older ones.

        :raises MossError: if one can't be flushed (then older ones stay) or moved.
        """
        written = sorted((self._partial / 'results').iterdir())
        with self._refused():
            for path in written:
                with path.open('rb') as file:
                    os.fsync(file.fileno())
            for path in written:
                path.replace(self.path / path.name)
        return [self.path / path.name for path in written]

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MossError(f'{self._refusal} {self.path}: {error.strerror or error}: expected a '
                            'folder with room for it and permission to write there') from error

    def _unmake(self) -> None:
        for path in self._made:
            try:
                path.rmdir()
            except OSError:
                return
