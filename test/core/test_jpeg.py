"""A JPEG is refused by what is wrong with its structure, or when it decodes in part."""

import re
import struct

import cv2
from moss_perception.core import jpeg
from moss_perception.core.errors import FrameError
from moss_perception.core.image_messages import check, CompressedImage, ImageLimits
from moss_perception.core.images import decode, decode_for
import numpy as np
import pytest

SCAN, END = b'\xff\xda', b'\xff\xd9'


def picture(height=96, width=128):
    rng = np.random.default_rng(4)
    image = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (width, height))
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def encoded(image=None, *options):
    image = picture() if image is None else image
    return cv2.imencode('.jpg', image[..., ::-1], options)[1].tobytes()


def refused(data, **limits):
    with pytest.raises(FrameError) as info:
        decode(check(CompressedImage(data), ImageLimits(**limits)))
    assert info.value.reason == 'compressed'
    assert '\n' not in str(info.value) and 'expected' in str(info.value)
    return str(info.value)


def read(data):
    return jpeg.read_structure(np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(('options', 'scans'), [
    ((), 1), ((cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 10), ((cv2.IMWRITE_JPEG_RST_INTERVAL, 4), 1)])
def test_the_structure_says_what_will_be_decoded(options, scans):
    assert read(encoded(None, *options)) == jpeg.JpegHeader(128, 96, 3, scans)


@pytest.mark.parametrize('options', [
    (), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
@pytest.mark.parametrize('side', [1000, 32, 16])
def test_pixels_are_those_of_opencv(options, side):
    data = encoded(None, *options)
    image, reduction = decode_for(CompressedImage(data), side)
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), flags[reduction])[..., ::-1]
    # Two builds of libjpeg-turbo may round differently by 1.
    np.testing.assert_allclose(image.astype(int), expected, atol=1)


@pytest.mark.parametrize('side', [1000, 16])
@pytest.mark.parametrize('options', [
    (), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
@pytest.mark.parametrize('part', [0.1, 0.3, 0.6, 0.9])
def test_a_jpeg_that_lost_bytes_in_the_middle_is_refused(options, part, side):
    data = encoded(None, *options)
    scan = data.index(SCAN) + 14
    cut = scan + int(part * (len(data) - scan - 1000))
    with pytest.raises(FrameError, match='decodes in part|is damaged|is cut off') as info:
        decode_for(CompressedImage(data[:cut] + data[cut + 700:]), side)
    assert info.value.reason == 'compressed'


def test_all_of_a_hundred_losses_of_a_packet_are_noticed():
    data, rng = encoded(picture(240, 320)), np.random.default_rng(2)
    scan = data.index(SCAN) + 14
    for cut in rng.integers(scan, len(data) - 2000, 100):
        refused(data[:cut] + data[cut + 1024:])


@pytest.mark.parametrize('count', [1, 8])
def test_a_few_bytes_of_padding_before_the_end_are_harmless(count):
    data = encoded()
    padded = data[:-2] + bytes(count) + END
    np.testing.assert_array_equal(decode(CompressedImage(padded)), decode(CompressedImage(data)))


def test_much_before_the_end_marker_is_no_padding():
    assert 'extraneous bytes' in refused(encoded()[:-2] + bytes(300) + END)


def frame(data):
    """Return where the frame header of a JPEG begins."""
    return re.search(b'\xff[\xc0\xc2]\0\x11\x08', data).start()


def test_a_jpeg_is_decoded_at_the_size_that_was_checked():
    small, large = encoded(), encoded(np.zeros((2000, 2000, 3), np.uint8))
    at, other = frame(small), frame(large)
    assert 'a second frame header' in refused(
        small[:at] + small[at:at + 19] + large[other:other + 19] + small[at + 19:])


def test_a_frame_header_hidden_in_garbage_is_not_reached():
    data = encoded()
    assert 'expected a marker' in refused(data[:2] + b'\0\0\0\0' + data[2:])


@pytest.mark.parametrize(('change', 'named'), [
    (lambda x: x[:2] + END, 'no frame header'),
    (lambda x: x[:frame(x) + 19] + END, 'no scan'),
    (lambda x: x[:2] + x[x.index(SCAN):], 'has no frame header before it'),
    (lambda x: x[:-2], 'is cut off'),
    (lambda x: x[:frame(x) + 6], 'is cut off in marker ff c0'),
    (lambda x: x[:2] + b'\xff\xfe\0\1' + x[2:], 'of 2 bytes or more'),
    (lambda x: x[:2] + b'\xff\xd8' + x[2:], 'marker ff d8'),
    (lambda x: x.replace(b'\xff\xc0\0\x11', b'\xff\xc9\0\x11'), 'ff c9'),
    (lambda x: x.replace(b'\xff\xc0\0\x11\x08', b'\xff\xc0\0\x11\x0c'), '12 bits'),
])
def test_a_damaged_structure_is_refused_by_what_is_wrong(change, named):
    assert named in refused(change(encoded()))


def test_scans_are_bounded_before_they_are_decoded():
    data = encoded(None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    at = data.rindex(SCAN)
    bomb = data[:-2] + 1000 * data[at:-2] + END
    message = refused(bomb)
    assert 'in 1010 scans: expected at most 100' in message and 'max_scans' in message
    assert 'in 10 scans: expected at most 9' in refused(data, scans=9)


def test_pixels_are_bounded_before_they_are_decoded():
    data = encoded()
    at = frame(data)
    large = data[:at + 5] + struct.pack('>HH', 16000, 16000) + data[at + 9:]
    assert '256.0 megapixels: expected at most 50, the parameter max_megapixels' in refused(large)
    assert 'expected at most 0.01' in refused(data, megapixels=0.01)


def test_the_pixels_of_all_scans_are_bounded_too():
    data = encoded(None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    at = frame(data)
    large = data[:at + 5] + struct.pack('>HH', 6000, 6000) + data[at + 9:]
    rows = data.rindex(SCAN)
    assert 'in 20 scans: expected at most 13' in refused(
        large[:-2] + 10 * data[rows:-2] + END)
