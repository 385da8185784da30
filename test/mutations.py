"""
Mutated recordings, which are read or refused: one line, in bounded time and memory.

As a program: ``python test/mutations.py 10000``; exit status 1 if a mutation was not dealt with.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
import resource
import shutil
import struct
import sys
import tempfile
import time

import bag_factory as factory
from moss_perception.core.errors import MossError
from moss_perception.core.image_messages import check
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of, IMAGE_TYPES, OUTCOME_TYPE
from moss_perception.evaluation.outputs import read_outputs
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

_EXTREMES = (0, 1, 0x7f, 0xff, 0xffff, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


@dataclass
class Results:
    """
    What became of mutated recordings.

    :ivar counts: numbers of those that were read whole, in part, or refused.
    :ivar failures: number and description of each that was not dealt with.
    :ivar slowest_s: longest time for one, seconds.
    :ivar grown_mb: how much more memory the process took at most, megabytes.
    """

    counts: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    grown_mb: float = 0.0


def sources(folder: Path) -> list[Path]:
    """Write a recording of each kind: databases, MCAP with and without compressed chunks."""
    entries = []
    for n in range(8):
        at = factory.START_NS + n * 10**8
        entries += [factory.image(at, side=8, fill=n), factory.camera_info(at, '/camera_info', 8),
                    factory.candidates(at, '/grasp_candidates'),
                    factory.selected(at, (0.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0))]
    entries.append(factory.outcome(at, attempt='1', start='1700000000.0', success='true',
                                   decision='1700000000.3', end='1700000000.7'))
    offers = {x.topic: factory.qos() for x in entries}
    made = [factory.write_bag(folder / kind, entries, storage=kind, offers=offers)
            for kind in ('mcap', 'sqlite3')]
    for form in CompressionFormat:
        writer = Writer(path := folder / form.name.lower(), version=9,
                        storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, form)
        with writer:
            known = {x.topic: writer.add_connection(x.topic, x.type, typestore=factory.STORE)
                     for x in {x.topic: x for x in entries}.values()}
            for one in entries:
                writer.write(known[one.topic], one.stamp_ns, one.raw)
        made.append(path)
    return made


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut data, flip bits, or change, delete, repeat or insert bytes."""
    found, at = bytearray(data), int(rng.integers(len(data)))
    size = int(2 ** rng.uniform(0, 8))
    way = rng.integers(7)
    if way == 0:
        del found[at:]
    elif way == 1:
        for place in rng.integers(len(found), size=int(rng.integers(1, 9))):
            found[place] ^= 1 << int(rng.integers(8))
    elif way == 2:
        found[at:at + size] = rng.bytes(len(found[at:at + size]))
    elif way == 3:
        del found[at:at + size]
    elif way == 4:
        found[at:at] = found[at:at + size]
    elif way == 5:
        found[at:at + size] = bytes(len(found[at:at + size]))
    else:
        width = int(rng.choice([1, 2, 4, 8]))
        value = int(_EXTREMES[rng.integers(len(_EXTREMES))]) % 2**(8 * width)
        found[at:at + width] = struct.pack('<Q', value)[:width]
    return bytes(found)


def read_everything(path: Path) -> bool:
    """
    Read a recording as the commands do.

    :returns: whether it is whole.
    :raises MossError: if it can't be read.
    """
    with Recording(path, salvage=True) as recording:
        for _, kind, _, raw in recording.messages():
            try:
                header_of(raw)
                message = recording.deserialize(raw, kind)
                if kind in IMAGE_TYPES:
                    check(message)
            except MossError:
                continue
        images = recording.image_topic()
        recording.camera_info_topic(images.name)
        recording.candidates_topic()
        recording.executed()
        if any(x.type == OUTCOME_TYPE for x in recording.topics.values()):
            recording.outcomes()
        whole = not recording.damage
    try:
        read_outputs(path)
    except MossError as error:
        assert 'scores' in str(error) or 'PointCloud2' in str(error), error
    return whole


def run(count: int, seed: int, folder: Path, longest_s: float = 1.0) -> Results:
    """
    Mutate recordings, and read them.

    :param count: number of mutations.
    :param seed: of the random numbers.
    :param folder: an empty one.
    :param longest_s: longest time for one, seconds of the processor.
    """
    originals, rng, results = sources(folder), np.random.default_rng(seed), Results()
    for one in originals:
        assert read_everything(one)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        original = originals[number % len(originals)]
        path = folder / 'mutated'
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original, path)
        files = sorted(path.iterdir())
        file = files[int(rng.random() < 0.15)] if files[0].suffix != '.yaml' else files[0]
        file.write_bytes(mutate(file.read_bytes(), rng))
        began = time.process_time()
        try:
            outcome = 'whole' if read_everything(path) else 'in part'
        except MossError as error:
            outcome = 'refused'
            if len(str(error).splitlines()) != 1:
                results.failures.append(f'{number}: several lines: {error}')
        except Exception as error:  # noqa: BLE001, that none comes is what is tested
            outcome = 'failed'
            results.failures.append(f'{number}: {type(error).__name__}: {error}')
        took_s = time.process_time() - began
        results.counts[outcome] += 1
        results.slowest_s = max(results.slowest_s, took_s)
        if took_s > longest_s:
            results.failures.append(f'{number}: took {took_s:.1f} s')
    results.grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1e3
    return results


def main() -> int:
    """Run as many mutations as the command line says, and print the results."""
    count, seed = (*map(int, sys.argv[1:3]), *(1000, 0)[len(sys.argv) - 1:])
    with tempfile.TemporaryDirectory(prefix='moss_') as folder:
        found = run(count, seed, Path(folder))
    print(f'{count} mutated recordings: {dict(found.counts)}, the slowest took '
          f'{found.slowest_s:.2f} s, memory grew by {found.grown_mb:.0f} MB')
    print('\n'.join(found.failures[:50]))
    return 1 if found.failures else 0


if __name__ == '__main__':
    sys.exit(main())
