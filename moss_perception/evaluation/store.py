"""
A store of evaluation records: a folder in which each recording has one record of each checkpoint.

A record's name is the digest of its task: recording, checkpoint, options and code. What has a
record is not evaluated again.
"""

from dataclasses import replace
import json
import logging
from pathlib import Path
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.data.remote import is_address
from moss_perception.evaluation.digests import digest
from moss_perception.evaluation.record_files import from_values, MALFORMED, to_values, write_json
from moss_perception.evaluation.records import BagRecord, Evaluation

FORMAT = 'moss_perception.store/1'
_LOG = logging.getLogger(__name__)


class Store:
    """
    A store in a folder, which several processes may write at the same time.

    :param folder: created with the first record.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder).expanduser()

    def path(self, key: str) -> Path:
        """Return the file of a record."""
        return self.folder / 'records' / key[:2] / f'{key}.json'

    def digest_of(self, recording: str, mark: str) -> str:
        """
        Return the digest of a recording; empty if it is at an address and not known.

        :param mark: of a path, its digest; of an address, the state of its files.
        """
        if not is_address(recording):
            return mark
        path = self._address(recording, mark)
        try:
            return json.loads(path.read_text())['recording'] if path.exists() else ''
        except (OSError, *MALFORMED) as error:
            _LOG.warning('%s is not a readable note of an address: %s: fetching %s again', path,
                         error, recording)
            return ''

    def remember(self, address: str, state: str, recording: str) -> None:
        """Note the digest of the recording at an address in this state."""
        write_json(self._address(address, state), {'address': address, 'recording': recording})

    def _address(self, address: str, state: str) -> Path:
        key = digest({'address': address, 'state': state})
        return self.folder / 'addresses' / key[:2] / f'{key}.json'

    def find(self, task: dict[str, Any], recording: str) -> Evaluation | None:
        """
        Return the record of a task; ``None`` if it has none, or a damaged one, which is logged.

        :param task: what the record depends on.
        :param recording: path of the recording, which may have been another one at the time.
        """
        if not self.path(digest(task)).exists():
            return None
        try:
            return self.read(digest(task), recording)
        except MossError as error:
            _LOG.warning('%s: evaluating %s again', error, recording)
            return None

    def read(self, key: str, recording: str) -> Evaluation:
        """
        Read a record.

        :param recording: as of :meth:`find`.
        :raises MossError: if it is missing, damaged, or of another task.
        """
        path = self.path(key)
        try:
            if path.exists() and not path.is_file():
                raise ValueError('it is a folder, a pipe or a device')
            written = json.loads(path.read_text())
            task, record = (written[name] for name in ('task', 'record'))
            if (found := written['format']) != FORMAT:
                raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
            if digest({'task': task, 'record': record}) != written['sha256']:
                raise ValueError('its contents do not have the sha256 that it names')
            if digest(task) != key:
                raise ValueError('it belongs to another task, expected the one of its name')
            evaluation = from_values(record)
            bag, = evaluation.bags
        except FileNotFoundError as error:
            raise MossError(f'the record {path} of {recording} is missing: evaluate the recording '
                            'again with the same --store') from error
        except (OSError, *MALFORMED) as error:
            raise MossError(f'{path} is not a readable record of a store: {error}') from error
        return replace(evaluation, bags=(replace(bag, path=recording),))

    def write(self, task: dict[str, Any], evaluation: Evaluation) -> Evaluation:
        """
        Write the record of a task, and return it as :meth:`read` does.

        :param evaluation: of one recording.
        :raises MossError: if it can't be written.
        """
        bag: BagRecord
        bag, = evaluation.bags
        # Through JSON and back, since arrays have no digest.
        record = json.loads(json.dumps(to_values(evaluation), default=_plain))
        key, contents = digest(task), {'task': task, 'record': record}
        write_json(self.path(key), {'format': FORMAT, 'sha256': digest(contents), **contents})
        return self.read(key, bag.path)


def _plain(value: Any) -> Any:
    return value.tolist()
