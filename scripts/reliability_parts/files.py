"""Mutated recordings, checkpoints, graphs and tables through what reads them."""

from contextlib import suppress
import hashlib
from pathlib import Path
import shutil
import sys
from tempfile import TemporaryDirectory
from typing import Any

from moss_perception.core.errors import CheckpointError, FrameError, MossError
from moss_perception.core.images import decode
from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.matching import read_labels
from moss_perception.models.manifest import graphs_beside, seal
from moss_perception.runtime.engine import load_engine
import numpy as np

from reliability_parts.common import MODEL, ROOT, try_all

REFUSED, READ = 'refused in one line', 'read'
_ROWS = ('start,end,success,decision,object,candidate\n1.5,2.25,true,1.75,box,0\n'
         '3,4,no,3.5,"a, b",1\n2026-01-02T03:04:05Z,2026-01-02T03:04:06Z,1,,cup,\n')
_CELLS = (b'inf', b'nan', b'1e400', b'-1', b'""', b'"', b'\xff\xfe', b'\x00', b'=1+1', b'\r',
          b'9' * 400, b'2026-13-45', b'true', b'\xe2\x80\xae', b',' * 500, b'a' * 200_000)


def mutated(data: bytes, rng: np.random.Generator, pieces: tuple[bytes, ...] = ()) -> bytes:
    """
    Damage a file: flip, replace, cut, repeat or insert bytes in one to four places.

    :param pieces: what may be inserted, besides random bytes.
    """
    for _ in range(int(rng.integers(1, 5))):
        place, choice = int(rng.integers(len(data) + 1)), int(rng.integers(6))
        length = int(rng.integers(1, 64))
        if choice == 0 and data:
            flipped = bytearray(data)
            flipped[place % len(data)] ^= 1 << int(rng.integers(8))
            data = bytes(flipped)
        elif choice == 1:
            data = data[:place] + rng.bytes(length) + data[place + length:]
        elif choice == 2:
            data = data[:place]
        elif choice == 3:
            data = data[:place] + data[place + length:]
        elif choice == 4:
            data = data[:place] + data[max(0, place - length):]
        else:
            piece = pieces[int(rng.integers(len(pieces)))] if pieces else rng.bytes(length)
            data = data[:place] + piece + data[place:]
    return data


class _Files:
    """Trials in a folder of their own; a known error is how a damaged file should end."""

    def __init__(self, seed: int):
        self._seed = seed
        self._folder = TemporaryDirectory(prefix='moss_reliability_')
        self.folder = Path(self._folder.name)

    def one(self, number: int) -> str:
        """Damage and read a file."""
        try:
            return self.read(np.random.default_rng([self._seed, number]))
        except MossError as error:
            if '\n' in str(error) or len(str(error)) > 2000:
                raise ValueError(f'a message of {len(str(error))} characters or several lines: '
                                 f'{str(error)[:100]!r}') from error
            return REFUSED

    def read(self, rng: np.random.Generator) -> str:
        """Damage a file and read it."""
        raise NotImplementedError

    def end(self) -> dict[str, Any]:
        """Remove the folder."""
        self._folder.cleanup()
        return {}


class Recordings(_Files):
    """Recordings of both storages, read whole, with their images and outcomes."""

    def __init__(self, seed: int):
        super().__init__(seed)
        sys.path.insert(0, str(ROOT / 'test'))
        import bag_factory as factory
        entries = [*factory.camera_run(6), *(
            factory.candidates(factory.START_NS + k, '/grasp_candidates') for k in range(3)),
            factory.camera_info(factory.START_NS, '/camera_info'),
            factory.outcome(factory.START_NS, attempt='1', success='true', start='1',
                            decision='1.5', end='2')]
        self._made = []
        for storage in ('mcap', 'sqlite3'):
            path = self.folder / storage
            factory.write_bag(path, entries, storage=storage)
            self._made.append(path)
        self._trial = self.folder / 'trial'

    def read(self, rng: np.random.Generator) -> str:
        """Damage one file of a recording, and read it."""
        shutil.rmtree(self._trial, ignore_errors=True)
        shutil.copytree(self._made[int(rng.integers(2))], self._trial)
        files = sorted(x for x in self._trial.iterdir() if x.is_file())
        victim = files[int(rng.integers(len(files)))]
        victim.write_bytes(mutated(victim.read_bytes(), rng))
        with Recording(self._trial, salvage=True) as recording:
            images = {x.name for x in recording.image_topics()}
            for topic, kind, _, raw in recording.messages():
                message = recording.deserialize(raw, kind)
                if topic in images:
                    _decode(message)
            recording.outcomes()
        return READ


def _decode(message: Any) -> None:
    """Decode an image of a recording; one that is refused is left out, as in a replay."""
    with suppress(FrameError):
        decode(message)


class Checkpoints(_Files):
    """Damaged checkpoints and graphs, most with the digests of the genuine ones."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self._data = MODEL.read_bytes()
        self._graphs = {x.name: x.read_bytes() for x in graphs_beside(MODEL)}
        self._path = self.folder / MODEL.name
        self._manifest = (MODEL.parent / 'SHA256SUMS').read_text()

    def read(self, rng: np.random.Generator) -> str:
        """Damage the checkpoint or a graph, and load it."""
        choice, data, graphs = rng.random(), self._data, dict(self._graphs)
        if choice < 0.5 or 0.8 <= choice < 0.9:
            # Its header is small, and all of its configuration is in it.
            cut = 4096 if rng.random() < 0.5 else len(data)
            data = mutated(data[:cut], rng) + data[cut:]
        else:
            name = sorted(graphs)[int(rng.integers(len(graphs)))]
            graphs[name] = mutated(graphs[name], rng)
        for name, graph in graphs.items():
            (self.folder / name).write_bytes(graph)
        self._path.write_bytes(data)
        (self.folder / 'SHA256SUMS').write_text(self._manifest)
        if choice < 0.8:
            return self._genuine_digests(data, graphs)
        return self._own_digests(choice < 0.9)

    def _genuine_digests(self, data: bytes, graphs: dict[str, bytes]) -> str:
        """Load with the genuine digests: only what is genuine may load."""
        try:
            load_engine(str(self._path), threads=1)
        except CheckpointError:
            return REFUSED
        if data == self._data and graphs == self._graphs:
            return 'unchanged'
        raise AssertionError('a damaged checkpoint loads with the digests of the genuine one')

    def _own_digests(self, of_checkpoint: bool) -> str:
        """Load with digests that fit, as a stranger would send it."""
        if not of_checkpoint:
            sealed = seal(MODEL, [self.folder / x for x in self._graphs], self.folder / 'sealed')
            sealed.replace(self._path)
        digest = hashlib.sha256(self._path.read_bytes()).hexdigest()
        load_engine(str(self._path), digest, threads=1)
        return READ


class Tables(_Files):
    """Damaged tables of outcomes."""

    def read(self, rng: np.random.Generator) -> str:
        """Damage a table and read it."""
        path = self.folder / 'outcomes.csv'
        path.write_bytes(mutated(_ROWS.encode(), rng, _CELLS))
        read_labels(path)
        return READ


KINDS = {'recordings': Recordings, 'checkpoints': Checkpoints, 'tables': Tables}


def run(count: int, seed: int) -> dict[str, Any]:
    """
    Read damaged files of each kind.

    :param count: files of each kind.
    """
    return {name: {'files': count, **try_all(kind, (seed,), count).figures()}
            for name, kind in KINDS.items()}
