"""A folder of results that is filled at once or not at all."""

from pathlib import Path
import shutil
import tempfile

from moss_perception.core.errors import MossError


class OutputFolder:
    """
    Holds results under a temporary name until all of them are there; a context manager.

    :param path: the folder; made if it isn't there, and taken away again if nothing comes of it.
    :raises MossError: on entry, if nothing can be written there.
    """

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> 'OutputFolder':
        path = self.path.absolute()
        self._made = [p for p in (path, *path.parents) if not p.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._partial = Path(tempfile.mkdtemp(prefix='.partial-', dir=path))
        except OSError as error:
            self._unmake()
            raise MossError(f'cannot write to --out {self.path}: {error.strerror}: '
                            'expected a folder, or a place where one can be made') from error
        (self._partial / 'results').mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._unmake()

    def result(self, name: str) -> Path:
        """Return where to write a result."""
        return self._partial / 'results' / name

    def scratch(self, name: str) -> Path:
        """Return where to write what is needed only for now."""
        return self._partial / name

    def publish(self) -> list[Path]:
        """
        Move the results to their place, over older ones.

        :raises MossError: if that can't be done.
        """
        written = sorted((self._partial / 'results').iterdir())
        try:
            for path in written:
                path.replace(self.path / path.name)
        except OSError as error:
            raise MossError(f'cannot write {self.path / path.name}: {error.strerror}') from error
        return [self.path / path.name for path in written]

    def _unmake(self) -> None:
        for path in self._made:
            try:
                path.rmdir()
            except OSError:
                return
