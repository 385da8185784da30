"""What is refused of an image before it is decoded, and how it is told."""

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.image_messages import check, CompressedImage, RawImage
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
