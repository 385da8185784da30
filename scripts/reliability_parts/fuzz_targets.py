"""What coverage-guided fuzzing calls with bytes: decoding, bag reading, headers of checkpoints."""

from collections.abc import Callable
import json
from pathlib import Path
import struct
from typing import Protocol

import bag_factory as factory
import cv2
from mcap.writer import CompressionType, Writer
from moss_perception.core.image_messages import CompressedImage, RawImage
from moss_perception.core.images import decode_for
from moss_perception.models.manifest import (
    FORMAT,
    graph_digests,
    header,
    MANIFEST,
    read_header,
    read_manifest,
    training_seeds,
)
from moss_perception.models.moss_grasp.model import MossGraspConfig
from mutations import read_everything
import numpy as np
from safetensors.numpy import save

FORMATS = ('jpeg', 'png', '', 'rgb8; jpeg compressed bgr8', 'bgr8; png compressed bgr8',
           'mono16; png compressed', 'bayer_rggb8; jpeg compressed bayer_rggb8',
           'bayer_gbrg16; png compressed bayer_gbrg16', '16UC1; compressedDepth', 'tiff')
ENCODINGS = ('rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', 'bayer_rggb8', 'bayer_bggr8',
             'bayer_gbrg8', 'bayer_grbg8', 'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12',
             '8UC3', '16UC1', '')
_SIDE = 224
_MOST_BYTES = 1 << 20


class Target(Protocol):
    """
    What is called with bytes.

    :ivar longest: of the inputs, bytes.
    """

    longest: int

    def seeds(self) -> list[bytes]:
        """Return inputs to begin with."""
        ...

    def take(self, data: bytes) -> None:
        """
        Read an input.

        :raises MossError: if it is refused, which is how a damaged one should end.
        """
        ...


class Pictures:
    """Images, compressed and raw: the first byte says which, the next ones are its fields."""

    longest = 4096

    def seeds(self) -> list[bytes]:
        """Return a picture of each kind."""
        made = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
        files = [cv2.imencode(suffix, image, options)[1].tobytes() for suffix, image, options in (
            ('.jpg', made, []), ('.jpg', made[..., 0], []),
            ('.jpg', made, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
            ('.jpg', made, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
            ('.png', made, []), ('.png', made[..., 0], []),
            ('.png', made.astype(np.uint16) * 257, []),
            ('.png', np.dstack([made, made[..., :1]]), []))]
        raw = [bytes([1, number, 0]) + struct.pack('<3H', 4, 4, 16) + bytes(64)
               for number in range(len(ENCODINGS))]
        return [bytes([0, number]) + file for file in files for number in (0, 1, 6)] + raw

    def take(self, data: bytes) -> None:
        """Decode a picture."""
        image = decode_for(_picture(data), _SIDE)[0]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise AssertionError(f'decoded as {image.dtype} of shape {image.shape}')


def _picture(data: bytes) -> CompressedImage | RawImage:
    if not data or not data[0] % 2:
        return CompressedImage(data[2:], FORMATS[data[1] % len(FORMATS)] if data[1:] else '')
    fields = data[1:9].ljust(8, b'\0')
    height, width, step = struct.unpack('<3H', fields[2:])
    wanted, pixels = height * step, data[9:]
    if data[0] & 2 and pixels and wanted <= _MOST_BYTES:
        # As many bytes as the size says, which chance would seldom find.
        pixels = (pixels * (wanted // len(pixels) + 1))[:wanted]
    return RawImage(ENCODINGS[fields[0] % len(ENCODINGS)], height, width, step, pixels,
                    fields[1] % 2)


class McapFiles:
    """MCAP files, read whole, as the commands do."""

    longest = 16_384

    def __init__(self, folder: Path):
        self._path = folder / 'recording.mcap'

    def seeds(self) -> list[bytes]:
        """Return small files: with and without chunks, compression, checksums and index."""
        return [small_mcap(self._path, chunks, compression, checked)
                for chunks, compression, checked in (
                    (False, CompressionType.NONE, False), (True, CompressionType.NONE, False),
                    (True, CompressionType.LZ4, False), (True, CompressionType.ZSTD, False),
                    (True, CompressionType.ZSTD, True))]

    def take(self, data: bytes) -> None:
        """Write and read a file."""
        self._path.write_bytes(data)
        read_everything(self._path)


def small_mcap(path: Path, chunks: bool, compression: CompressionType, checked: bool) -> bytes:
    """Write a recording of a few messages with their definitions, and return its bytes."""
    at = factory.START_NS
    entries = [factory.image(at, side=2), factory.candidates(at, '/grasp_candidates'),
               factory.image(at + 10**8, side=2), factory.text(at + 10**8, 'a note'),
               factory.outcome(at + 2 * 10**8, attempt='1', success='true', start='1',
                               decision='1.5', end='2')]
    writer = Writer(str(path), use_chunking=chunks, compression=compression, enable_crcs=checked,
                    enable_data_crcs=checked)
    writer.start(profile='ros2', library='')
    channels: dict[str, int] = {}
    for one in entries:
        if one.topic not in channels:
            definition, _ = factory.STORE.generate_msgdef(one.type)
            channels[one.topic] = writer.register_channel(
                one.topic, 'cdr', writer.register_schema(
                    one.type, 'ros2msg', definition.encode()))
        writer.add_message(channels[one.topic], one.stamp_ns, one.raw, one.stamp_ns)
    writer.finish()
    return path.read_bytes()


class Databases:
    """SQLite files, read whole, as the commands do."""

    longest = 65_536

    def __init__(self, folder: Path):
        self._folder, self._path = folder, folder / 'recording.db3'

    def seeds(self) -> list[bytes]:
        """Return a small database."""
        at = factory.START_NS
        folder = factory.write_bag(self._folder / 'seed', [
            factory.image(at, side=2), factory.candidates(at, '/grasp_candidates'),
            factory.text(at + 10**8, 'a note')], storage='sqlite3')
        return [next(folder.glob('*.db3')).read_bytes()]

    def take(self, data: bytes) -> None:
        """Write and read a database."""
        self._path.write_bytes(data)
        read_everything(self._path)


class Checkpoints:
    """Headers of checkpoints, and the digests beside them; the first byte says which."""

    longest = 4096

    def __init__(self, folder: Path):
        self._path = folder / 'model.safetensors'

    def seeds(self) -> list[bytes]:
        """Return small checkpoints and a list of digests."""
        tensors = {'a': np.zeros(2, np.float32)}
        of = {'format': FORMAT, **header(MossGraspConfig())}
        notes = {'seeds': [[0, 9]], 'steps': 10}
        digests = {'step': 'a' * 64}
        return [b'\0' + save(tensors, of), b'\1' + f'{"a" * 64}  model.safetensors\n'.encode(),
                b'\0' + save(tensors, {**of, 'notes': json.dumps(notes),
                                       'graphs': json.dumps(digests)}),
                b'\0' + save(tensors, {'format': 'moss_perception.grasp/2', 'config': '{}'})]

    def take(self, data: bytes) -> None:
        """Write a file and read what a command shows of it before it is verified."""
        if data[:1] and data[0] % 2:
            (self._path.parent / MANIFEST).write_bytes(data[1:])
            read_manifest(self._path.parent)
            return
        self._path.write_bytes(data[1:])
        _, notes = read_header(self._path)
        graph_digests(self._path)
        training_seeds(notes)


TARGETS: dict[str, Callable[[Path], Target]] = {
    'pictures': lambda folder: Pictures(), 'mcap': McapFiles, 'databases': Databases,
    'checkpoints': Checkpoints}
