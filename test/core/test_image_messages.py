"""What is refused of an image before it is decoded, and how it is told."""

import struct
import subprocess
import sys
import zlib

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.image_messages import (
    check,
    CompressedImage,
    ImageLimits,
    RawImage,
)
from moss_perception.core.images import decode
import numpy as np
import pytest


def reason_of(message) -> tuple[str, str]:
    with pytest.raises(FrameError) as info:
        check(message)
    # Nobody is to decode what is refused.
    with pytest.raises(FrameError):
        decode(message)
    assert '\n' not in str(info.value)
    return info.value.reason, str(info.value)


def png(image):
    return cv2.imencode('.png', image)[1].tobytes()


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', '8UC3', '32FC16'])
def test_depth_is_refused_by_name(encoding):
    reason, message = reason_of(RawImage(encoding, 4, 4, 64, bytes(256)))
    assert reason == 'encoding'
    assert repr(encoding) in message
    assert 'depth' in message


def test_an_unknown_encoding_is_refused():
    reason, message = reason_of(RawImage('rgb9', 4, 4, 12, bytes(48)))
    assert reason == 'encoding'
    assert 'rgb9' in message
    assert 'rgb8' in message


@pytest.mark.parametrize(('fields', 'reason', 'named'), [
    ({'width': 0}, 'size', '0 x 4'), ({'height': 0}, 'size', '4 x 0'),
    ({'width': 16385, 'step': 49155}, 'size', '16385'),
    ({'height': 2**31}, 'size', '16384'),
    ({'step': 11}, 'step', 'at least 12'), ({'step': 0}, 'step', 'at least 12'),
    ({'data': b''}, 'size', '0 bytes'), ({'data': bytes(47)}, 'size', 'expected 48'),
    ({'data': bytes(49)}, 'size', 'expected 48'), ({'height': 3}, 'size', 'expected 36'),
    ({'encoding': 'mono16', 'step': 9, 'data': bytes(36)}, 'step', 'even'),
    ({'encoding': 'yuyv', 'width': 3}, 'size', 'even width'),
    ({'encoding': 'nv12', 'width': 3}, 'size', 'even width'),
    ({'encoding': 'nv12', 'step': 4, 'data': bytes(16)}, 'size', 'expected 24'),
    ({'encoding': 'nv12', 'step': 4, 'height': 5}, 'size', 'even height'),
])
def test_sizes_that_do_not_fit_are_refused(fields, reason, named):
    whole = {'encoding': 'rgb8', 'height': 4, 'width': 4, 'step': 12, 'data': bytes(48)}
    found, message = reason_of(RawImage(**(whole | fields)))
    assert found == reason
    assert named in message


@pytest.mark.parametrize(('name', 'end'), [('.jpg', 2), ('.png', 12)])
def test_an_image_without_its_end_is_refused(name, end):
    data = cv2.imencode(name, np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    assert reason_of(CompressedImage(data[:-end]))[0] == 'compressed'


@pytest.mark.parametrize('data', [
    b'', b'\0', b'GIF89a', b'\xff\xd8\xff\xd9', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_image_is_refused(data):
    assert reason_of(CompressedImage(data))[0] == 'compressed'


def test_a_compressed_image_of_absurd_size_is_refused_before_decoding():
    data = bytearray(png(np.zeros((48, 64, 3), np.uint8)))
    data[16:20] = (2**20).to_bytes(4, 'big')
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    reason, message = reason_of(CompressedImage(bytes(data), 'png'))
    assert reason == 'compressed'
    assert '1048576' in message


@pytest.mark.parametrize('declared', ['16UC1; compressedDepth png', '32FC1; compressedDepth rvl',
                                      '16UC1; png compressed '])
def test_compressed_depth_is_refused_by_name(declared):
    reason, message = reason_of(CompressedImage(png(np.zeros((48, 64, 3), np.uint8)), declared))
    assert reason == 'encoding'
    assert declared in message


def test_a_grey_png_of_sixteen_bits_must_say_that_it_is_a_picture():
    data = png(np.full((4, 4), 257 * 50, np.uint16))
    assert reason_of(CompressedImage(data, 'png'))[0] == 'encoding'
    check(CompressedImage(data, 'mono16; png compressed '))


GREY_JPEG = cv2.imencode('.jpg', np.full((48, 64), 90, np.uint8))[1].tobytes()
COLOUR_JPEG = cv2.imencode('.jpg', np.full((48, 64, 3), 90, np.uint8))[1].tobytes()


@pytest.mark.parametrize(('declared', 'data', 'named'), [
    ('bayer_rggb8; jpeg compressed ', COLOUR_JPEG, 'with colours'),
    ('bayer_rggb8; jpeg compressed bgr8', GREY_JPEG, 'with one channel'),
    ('bayer_rggb16; png compressed ', png(np.zeros((8, 8), np.uint8)), 'of 8 bits'),
    ('bayer_rggb16; jpeg compressed ', GREY_JPEG, 'of 8 bits')])
def test_a_mosaic_that_cannot_be_told_from_a_picture_is_refused_by_name(declared, data, named):
    reason, message = reason_of(CompressedImage(data, declared))
    assert reason == 'encoding'
    assert repr(declared) in message and named in message and 'expected' in message


@pytest.mark.parametrize('image', [
    RawImage('rgb8', 48, 64, 192, COLOUR_JPEG), RawImage('jpeg', 48, 64, 0, COLOUR_JPEG),
    RawImage('MJPEG', 48, 64, 64, bytes(48 * 64)),
    # Every size fits, and the zeros that fill the last row are not taken for pixels.
    RawImage('mono8', 1, len(COLOUR_JPEG), len(COLOUR_JPEG), COLOUR_JPEG),
    RawImage('mono8', 1, len(COLOUR_JPEG) + 9, len(COLOUR_JPEG) + 9, COLOUR_JPEG + bytes(9))])
def test_a_jpeg_in_a_raw_image_is_refused_by_name(image):
    reason, message = reason_of(image)
    assert reason == 'encoding'
    assert 'a JPEG in a raw image' in message and 'CompressedImage' in message


@pytest.mark.parametrize(('data', 'name'), [
    (b'RIFF\x10\0\0\0WEBPVP8 ', 'a WebP'), (b'GIF89a' + bytes(9), 'a GIF'),
    (b'BM' + bytes(40), 'a BMP'), (b'II*\0' + bytes(9), 'a TIFF'),
    (b'\0\0\0\x0cjP  \r\n\x87\n', 'a JPEG 2000'), (b'\xff\x0a' + bytes(9), 'a JPEG XL'),
    (b'\0\0\0\x20ftypavif', 'an AVIF'), (b'\0\0\0\x01\x67\x42', 'H.264')])
def test_other_formats_are_refused_by_name(data, name):
    reason, message = reason_of(CompressedImage(data))
    assert reason == 'compressed'
    assert name in message and 'expected a JPEG or PNG' in message


def test_a_raw_image_of_too_many_pixels_is_refused():
    image = RawImage('mono8', 100, 200, 200, bytes(20000))
    with pytest.raises(FrameError, match='expected at most 0.01, the parameter max_megapixels'):
        check(image, ImageLimits(megapixels=0.01))
    check(image)


def chunk(kind: bytes, content: bytes = b'') -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', crc)


GREY = np.full((8, 8, 3), 90, np.uint8)
SIGNATURE, PIXELS, END = b'\x89PNG\r\n\x1a\n', zlib.compress(bytes(25 * 8)), chunk(b'IEND')
IHDR = chunk(b'IHDR', struct.pack('>IIBBBBB', 8, 8, 8, 2, 0, 0, 0))
FRAME = struct.pack('>5IHHBB', 0, 8, 8, 0, 0, 1, 10, 0, 0)
ANIMATION = chunk(b'acTL', struct.pack('>II', 3, 0))


@pytest.mark.parametrize('damaged', [False, True])
@pytest.mark.parametrize(('animation', 'named'), [
    (ANIMATION + chunk(b'fcTL', FRAME), 'acTL'), (ANIMATION + chunk(b'fcSL', FRAME), 'acTL'),
    (chunk(b'fcTL', FRAME), 'fcTL'), (chunk(b'fdAT', bytes(4) + PIXELS), 'fdAT')])
def test_an_animated_png_is_refused_by_its_chunk(animation, named, damaged):
    data = SIGNATURE + IHDR + animation + chunk(b'IDAT', PIXELS) + END
    if damaged:
        data = data[:-20]
    reason, message = refused(data)
    assert reason == 'compressed'
    assert f'chunk {named!r}' in message and 'expected a PNG of one picture' in message


def refused(data: bytes) -> tuple[str, str]:
    """Check a PNG that may crash OpenCV: without decoding it."""
    with pytest.raises(FrameError) as info:
        check(CompressedImage(data, 'png'))
    assert '\n' not in str(info.value)
    return info.value.reason, str(info.value)


def test_a_damaged_animated_png_does_not_end_the_process_that_decodes_it():
    # A second frame where the first frame's control has lost its name, then a chunk that libpng
    # must know and does not: OpenCV 5.0 decodes it with a segmentation fault.
    second = struct.pack('>5IHHBB', 1, 8, 8, 0, 0, 1, 10, 0, 0)
    data = (SIGNATURE + IHDR + ANIMATION + chunk(b'fcSL', FRAME) + chunk(b'IDAT', PIXELS)
            + chunk(b'fcTL', second) + chunk(b'fdAT', struct.pack('>I', 2) + PIXELS)
            + chunk(b'ABCD') + END)
    program = (
        'from moss_perception.core.errors import FrameError\n'
        'from moss_perception.core.image_messages import CompressedImage\n'
        'from moss_perception.core.images import decode\n'
        'try:\n'
        f'    decode(CompressedImage({data!r}, "png"))\n'
        'except FrameError as error:\n'
        '    print(error)\n')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "chunk 'acTL'" in done.stdout


@pytest.mark.parametrize(('data', 'named'), [
    (SIGNATURE + chunk(b'IDAT', PIXELS) + END + bytes(33), 'IHDR'),
    (SIGNATURE + IHDR[:-1], 'IHDR'),
    (SIGNATURE + IHDR, 'expected an IEND chunk'),
    (SIGNATURE + IHDR + chunk(b'IDAT', PIXELS), "after chunk 'IDAT': expected an IEND chunk"),
    (SIGNATURE + IHDR + chunk(b'IDAT', PIXELS) + END[:-1], 'expected an IEND chunk'),
    (SIGNATURE + IHDR + chunk(b'IDAT', PIXELS)[:-3], "cut off in chunk 'IDAT' at byte 33"),
    (SIGNATURE + IHDR + b'\xff\xff\xff\xffIDAT' + PIXELS + END, "cut off in chunk 'IDAT'"),
    (SIGNATURE + IHDR + chunk(b'ID\nT', PIXELS)[:-3], r"chunk 'ID\nT'"),
])
def test_a_png_that_lacks_a_chunk_or_a_part_of_one_is_refused_by_it(data, named):
    reason, message = refused(data)
    assert reason == 'compressed'
    assert named in message and 'expected' in message


@pytest.mark.parametrize(('kind', 'behind'), [(b'IHDR', 10), (b'IDAT', 4), (b'tEXt', 6),
                                              (b'IEND', 4)])
def test_a_png_chunk_with_a_wrong_checksum_is_refused_by_name(kind, behind):
    data = bytearray(SIGNATURE + IHDR + chunk(b'tEXt', b'Comment\0belt') + chunk(b'IDAT', PIXELS)
                     + END)
    data[data.index(kind) + behind] ^= 1
    reason, message = refused(bytes(data))
    assert reason == 'compressed'
    assert f'chunk {kind.decode()!r}' in message and 'CRC' in message and 'expected' in message


@pytest.mark.parametrize('trailing', [b'', bytes(100)])
@pytest.mark.parametrize('text', [b'', chunk(b'tEXt', b'Comment\0acTL fcTL fdAT')])
@pytest.mark.parametrize('image', [GREY, GREY[..., 0], GREY.astype(np.uint16) * 257,
                                   np.full((8, 8, 4), 90, np.uint8)])
def test_a_whole_png_is_decoded(image, text, trailing):
    data = png(image)
    data = data[:33] + text + data[33:] + trailing
    decoded = decode(CompressedImage(data, 'png'))
    assert np.array_equal(getattr(decoded, 'data', decoded), GREY)
