"""A PNG is refused by the chunk that is wrong; the decoder sees the picture's chunks alone."""

from pathlib import Path
import struct
import subprocess
import sys
import zlib

import cv2
from moss_perception.core import png
from moss_perception.core.errors import FrameError
from moss_perception.core.image_messages import check, CompressedImage, ImageLimits
from moss_perception.core.images import decode
import numpy as np
import pytest


def chunk(kind: bytes, content: bytes = b'') -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', crc)


def header(width=8, height=8, bits=8, colour=2, *methods) -> bytes:
    return chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, colour,
                                      *(methods or (0, 0, 0))))


def whole(*chunks: bytes) -> bytes:
    return png.START + b''.join(chunks) + END


END, ROWS = chunk(b'IEND'), bytes(25 * 8)
PIXELS = chunk(b'IDAT', zlib.compress(ROWS))
PALETTE = chunk(b'PLTE', bytes(6))
INDICES = chunk(b'IDAT', zlib.compress(bytes(9 * 8)))


def refused(data: bytes, **limits) -> str:
    """Decode a PNG that our own checks refuse, so that OpenCV never sees it."""
    with pytest.raises(FrameError) as info:
        image = check(CompressedImage(data, 'png'), ImageLimits(**limits))
        png.picture_of(np.frombuffer(data, np.uint8), image.header)
    assert info.value.reason == 'compressed'
    assert '\n' not in str(info.value) and 'expected' in str(info.value)
    return str(info.value)


@pytest.mark.parametrize(('chunks', 'named'), [
    ((header(), header(), PIXELS), "misplaced chunk 'IHDR'"),
    ((header(), PIXELS, PALETTE), "misplaced chunk 'PLTE'"),
    ((header(), PALETTE, PALETTE, PIXELS), "misplaced chunk 'PLTE'"),
    ((header(), chunk(b'PLTE', bytes(5)), PIXELS), '5 bytes'),
    ((header(), PIXELS, chunk(b'tEXt', b'a\0b'), PIXELS), 'one after another'),
    ((header(), PIXELS, chunk(b'IEND', b'x')), '1 bytes; expected none'),
    ((header(), chunk(b'ABCD'), PIXELS), "unknown chunk 'ABCD'"),
    ((header(),), 'without an IDAT'),
    ((header(8, 8, 8, 3), INDICES), 'without a PLTE'),
    ((header(8, 8, 4, 2), PIXELS), 'colour type 2 with 4 bits'),
    ((header(8, 8, 8, 5), PIXELS), 'colour type 5'),
    ((header(8, 8, 8, 2, 0, 0, 2), PIXELS), 'interlace 2'),
    ((header(8, 8, 8, 2, 1, 0, 0), PIXELS), 'compression 1'),
])
def test_chunks_in_the_wrong_place_are_refused(chunks, named):
    assert named in refused(whole(*chunks))


@pytest.mark.parametrize(('content', 'named'), [
    (zlib.compress(ROWS[:-1]), 'less than'), (zlib.compress(ROWS + b'\0'), 'more than'),
    (zlib.compress(ROWS)[:-4], 'checksum'), (b'', 'less than'),
    (zlib.compress(ROWS)[:-1] + b'\0', 'damaged pixels'), (b'rubbish', 'damaged pixels')])
def test_pixels_must_inflate_to_what_the_picture_takes(content, named):
    assert named in refused(whole(header(), chunk(b'IDAT', content)))


def test_a_bomb_is_inflated_no_further_than_its_picture():
    bomb = chunk(b'IDAT', zlib.compress(bytes(40_000_000), 1))
    assert 'more than' in refused(whole(header(), bomb))


def test_pixels_are_bounded():
    data = whole(header(16000, 16000), PIXELS)
    assert '256.0 megapixels: expected at most 50' in refused(data)
    assert 'expected at most 0.01' in refused(whole(header(128, 128), PIXELS), megapixels=0.01)


def interlaced() -> bytes:
    """Return an interlaced grey PNG of 3 x 5 pixels whose values count up in raster order."""
    image = np.arange(15, dtype=np.uint8).reshape(5, 3) * 10
    rows = b''.join(b'\0' + row.tobytes() for left, top, across, down in png._ADAM7
                    for row in image[top::down, left::across] if row.size)
    return whole(header(3, 5, 8, 0, 0, 0, 1), chunk(b'IDAT', zlib.compress(rows)))


def test_an_interlaced_png_is_measured_pass_by_pass():
    image = decode(CompressedImage(interlaced(), 'png'))
    assert (image[..., 0] == np.arange(15).reshape(5, 3) * 10).all()


@pytest.mark.parametrize(('kind', 'value'), [
    ((8, 8, 1, 0), 0), ((8, 8, 4, 0), 0), ((8, 8, 16, 6), 0), ((8, 8, 8, 4), 0)])
def test_every_depth_is_measured_in_bits(kind, value):
    channels = {0: 1, 4: 2, 6: 4}[kind[3]]
    row = bytes(1 + (8 * channels * kind[2] + 7) // 8)
    data = whole(header(*kind), chunk(b'IDAT', zlib.compress(8 * row)))
    assert (decode(CompressedImage(data, 'png')) == value).all()


def test_metadata_is_kept_from_the_decoder():
    plain = whole(header(), PIXELS)
    text = chunk(b'tEXt', b'Comment\0belt')
    profile = chunk(b'iCCP', b'name\0\0rubbish')
    data = np.frombuffer(whole(header(), profile, text, PIXELS, text), np.uint8)
    assert png.picture_of(data, png.read_structure(data)).tobytes() == plain


def test_several_idat_chunks_are_one_stream():
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    data = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
    assert data.count(b'IDAT') > 1
    np.testing.assert_array_equal(decode(CompressedImage(data, 'png')), image)


def test_a_damaged_animation_from_the_field_is_refused_in_one_line():
    # OpenCV 5.0 decodes this file with a segmentation fault: in another process, so that a crash
    # fails the test and does not end pytest.
    path = Path(__file__).with_name('damaged_apng.bin')
    program = (
        'from pathlib import Path\n'
        'from moss_perception.core.errors import FrameError\n'
        'from moss_perception.core.image_messages import CompressedImage\n'
        'from moss_perception.core.images import decode\n'
        'try:\n'
        f'    decode(CompressedImage(Path({str(path)!r}).read_bytes(), "png"))\n'
        'except FrameError as error:\n'
        '    print(error.reason, error)\n')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('compressed animated PNG') and done.stdout.count('\n') == 1
