"""Every encoding decodes to hand-computed colours, and a malformed image is refused by reason."""

import array
import logging
import subprocess
import sys
from types import SimpleNamespace

import cv2
from frames import raw_image
from moss_perception.core import images as imaging
from moss_perception.core.errors import FrameError, MossError
from moss_perception.core.image_messages import CompressedImage, PIXEL_BYTES, RawImage
from moss_perception.core.images import decode, decode_for
import numpy as np
import pytest

# Channels that differ, so that no swap goes unseen; two columns of one colour, then another,
# because neighbours share their chroma in yuv422.
A, B = (200, 100, 50), (30, 60, 240)
COLOURS = np.array([[A, A, B, B]] * 4, np.uint8)

# BT.601 by hand: R = 1.164 (Y - 16) + 1.596 (V - 128), G = 1.164 (Y - 16) - 0.813 (V - 128)
# - 0.391 (U - 128), B = 1.164 (Y - 16) + 2.018 (U - 128).
YUV = {(150, 100, 180): (239, 125, 99), (81, 90, 240): (254, 0, 0)}


def raw(encoding, rows, bigendian=0):
    """Wrap rows of bytes, shape ``(H, step)``, as an Image of four columns."""
    rows = np.asarray(rows, np.uint8)
    return RawImage(encoding, len(rows), 4, rows.shape[1], rows.tobytes(), bigendian)


def mosaic(pattern):
    """Show a grey-free scene of colour A through a Bayer pattern such as rggb."""
    tile = np.array([A['rgb'.index(x)] for x in pattern], np.uint8).reshape(2, 2)
    return np.tile(tile, (3, 2))


def packed(order):
    """Show YUV's first colour in two columns and its second in the others, in this order."""
    first, second = (dict(zip('yuv', x, strict=True)) for x in YUV)
    row = [first[x] for x in order] + [second[x] for x in order]
    return [row] * 2


@pytest.mark.parametrize(('encoding', 'order'), [
    ('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0])])
def test_three_channels_keep_their_colours(encoding, order):
    message = raw(encoding, COLOURS[:, :, order].reshape(4, 12))
    np.testing.assert_array_equal(decode(message), COLOURS)


@pytest.mark.parametrize(('encoding', 'order'), [
    ('rgba8', [0, 1, 2, 3]), ('bgra8', [2, 1, 0, 3])])
def test_alpha_is_dropped(encoding, order):
    alpha = np.full((4, 4, 1), 7, np.uint8)
    pixels = np.concatenate([COLOURS, alpha], axis=2)[:, :, order]
    np.testing.assert_array_equal(decode(raw(encoding, pixels.reshape(4, 16))), COLOURS)


def test_grey_becomes_three_equal_channels():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(decode(raw('mono8', grey)), np.dstack([grey] * 3))


@pytest.mark.parametrize('bigendian', [0, 1])
def test_sixteen_bits_are_scaled_to_eight_in_either_byte_order(bigendian):
    # v / 257 rounded; 0x0100 and 0x0001 tell the byte orders apart.
    values = np.array([[0, 256, 1, 32896]], '>u2' if bigendian else '<u2')
    image = decode(raw('mono16', values.view(np.uint8), bigendian))
    assert image[0, :, 0].tolist() == [0, 1, 0, 128]
    assert (image == image[:, :, :1]).all()


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_uniform_scene_is_uniform_through_every_bayer_pattern(pattern):
    image = decode(raw(f'bayer_{pattern}8', mosaic(pattern)))
    # Interpolating equal neighbours is exact.
    np.testing.assert_array_equal(image, np.full((6, 4, 3), A, np.uint8))


@pytest.mark.parametrize(('encoding', 'order'), [
    ('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv')])
def test_packed_yuv_becomes_the_computed_colours(encoding, order):
    image = decode(raw(encoding, packed(order)))
    # OpenCV computes in fixed point: within 1 of the rounded formula.
    np.testing.assert_allclose(image[:, :2], np.full((2, 2, 3), (239, 125, 99)), atol=1)
    np.testing.assert_allclose(image[:, 2:], np.full((2, 2, 3), (254, 0, 0)), atol=1)


@pytest.mark.parametrize('height', [4, 6])
def test_nv12_is_taken_by_either_meaning_of_height(height):
    (y1, u1, v1), (y2, u2, v2) = YUV
    rows = [[y1, y1, y2, y2]] * 4 + [[u1, v1, u2, v2]] * 2
    data = np.array(rows, np.uint8).tobytes()
    image = decode(RawImage('nv12', height, 4, 4, data))
    assert image.shape == (4, 4, 3)
    # As above: fixed point.
    np.testing.assert_allclose(image[:, :2], np.full((4, 2, 3), (239, 125, 99)), atol=1)
    np.testing.assert_allclose(image[:, 2:], np.full((4, 2, 3), (254, 0, 0)), atol=1)


@pytest.mark.parametrize('encoding', sorted(PIXEL_BYTES))
def test_padding_is_cut_off(encoding):
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (6, 4 * PIXEL_BYTES[encoding]), np.uint8)
    padding = np.full((6, 6), 255, np.uint8)
    padded = decode(raw(encoding, np.hstack([rows, padding])))
    np.testing.assert_array_equal(padded, decode(raw(encoding, rows)))


@pytest.mark.parametrize('kind', [
    bytes, bytearray, memoryview, lambda x: array.array('B', x),
    lambda x: np.frombuffer(x, np.uint8)])
def test_data_of_every_kind_is_taken(kind):
    data = kind(COLOURS.tobytes())
    plain = SimpleNamespace(
        encoding='rgb8', height=4, width=4, step=12, is_bigendian=False, data=data)
    np.testing.assert_array_equal(decode(plain), COLOURS)


def test_rclpy_messages_are_taken():
    messages = pytest.importorskip('sensor_msgs.msg', reason='sensor_msgs is not installed')
    image = messages.Image(encoding='rgb8', height=4, width=4, step=12)
    image.data = array.array('B', COLOURS.tobytes())
    np.testing.assert_array_equal(decode(image), COLOURS)
    packed_image = messages.CompressedImage(format='png')
    packed_image.data = array.array('B', png(COLOURS))
    np.testing.assert_array_equal(decode(packed_image), COLOURS)


def test_the_result_has_memory_of_its_own():
    data = bytearray(COLOURS.tobytes())
    image = decode(RawImage('rgb8', 4, 4, 12, data))
    image[:] = 0
    assert bytes(data) == COLOURS.tobytes()


def picture():
    rng = np.random.default_rng(1)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))


def jpeg(image):
    return cv2.imencode('.jpg', image[:, :, ::-1])[1].tobytes()


def png(image):
    return cv2.imencode('.png', image[:, :, ::-1] if image.ndim == 3 else image)[1].tobytes()


def test_png_is_exact_and_jpeg_close():
    image = picture()
    np.testing.assert_array_equal(decode(CompressedImage(png(image), 'png')), image)
    # JPEG is lossy; a swap of channels would be off by far more.
    assert np.abs(decode(CompressedImage(jpeg(image))).astype(int) - image).mean() < 5


def test_grey_jpeg_becomes_three_channels():
    data = cv2.imencode('.jpg', np.full((16, 16), 90, np.uint8))[1]
    image = decode(CompressedImage(data, 'mono8; jpeg compressed '))
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - 90).max() <= 1  # JPEG rounds a uniform block


def test_channels_that_were_not_swapped_before_compression_are_left():
    image = picture()
    data = png(image[:, :, ::-1])
    np.testing.assert_array_equal(
        decode(CompressedImage(data, 'rgb8; png compressed rgb8')), image)
    np.testing.assert_array_equal(
        decode(CompressedImage(png(image), 'rgb8; png compressed bgr8')), image)


@pytest.mark.parametrize('compress', [lambda x: cv2.imencode(
    '.jpg', x, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes(), png])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('end', ['jpeg compressed ', 'png compressed', 'jpeg compressed mono8'])
def test_a_compressed_mosaic_becomes_a_picture(compress, pattern, end):
    data = compress(np.tile(mosaic(pattern), (16, 16)))
    message = CompressedImage(data, f'bayer_{pattern}8; {end}')
    image, reduction = decode_for(message, 8)
    # A mosaic can't be reduced before it is a picture.
    assert (reduction, image.shape) == (1, (96, 64, 3))
    # JPEG of the best quality is off by rounding.
    np.testing.assert_allclose(image.astype(int), np.full((96, 64, 3), A), atol=4)


@pytest.mark.parametrize('target', ['bgr8', 'rgb8'])
def test_a_mosaic_that_became_colours_before_compression_is_a_picture(target):
    image = picture()
    data = png(image if target == 'bgr8' else image[:, :, ::-1])
    np.testing.assert_array_equal(
        decode(CompressedImage(data, f'bayer_rggb8; png compressed {target}')), image)


def test_zeros_after_the_end_marker_are_harmless():
    image = picture()
    np.testing.assert_array_equal(
        decode(CompressedImage(jpeg(image) + bytes(20))), decode(CompressedImage(jpeg(image))))


@pytest.mark.parametrize(('width', 'height', 'side', 'reduction'), [
    (640, 480, 128, 2), (1280, 720, 128, 4), (2560, 1440, 128, 8), (480, 640, 128, 2),
    # Less than twice what is wanted would be left, or not whole pixels.
    (510, 480, 128, 1), (642, 481, 128, 1), (644, 482, 64, 2), (640, 480, 321, 1)])
def test_a_large_jpeg_is_reduced_by_as_much_as_leaves_twice_the_side(
        width, height, side, reduction):
    message = CompressedImage(jpeg(np.zeros((height, width, 3), np.uint8)))
    image, found = decode_for(message, side)
    assert (found, image.shape) == (reduction, (height // reduction, width // reduction, 3))


def test_a_reduced_jpeg_is_close_to_the_average_of_its_pixels():
    image = cv2.resize(picture(), (640, 480), interpolation=cv2.INTER_CUBIC)
    message = CompressedImage(jpeg(image))
    reduced, _ = decode_for(message, 128)
    average = decode(message).reshape(240, 2, 320, 2, 3).mean(axis=(1, 3))
    # Both round; a swap of channels, or a shift by a pixel, would be off by far more.
    assert np.abs(reduced - average).mean() < 1


@pytest.mark.parametrize('wrap', [
    raw_image, lambda image: CompressedImage(png(image), 'png')])
def test_what_is_no_jpeg_is_never_reduced(wrap):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found, reduction = decode_for(wrap(image), 8)
    assert reduction == 1
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize('encode', [jpeg, png])
@pytest.mark.parametrize('part', [0.05, 0.3, 0.7, 0.99])
def test_a_truncated_image_is_refused(encode, part):
    data = encode(picture())
    with pytest.raises(FrameError) as info:
        decode(CompressedImage(data[:int(part * len(data))]))
    assert info.value.reason == 'compressed'


def test_a_corrupt_png_is_refused():
    data = bytearray(png(picture()))
    data[len(data) // 2] ^= 0xff
    with pytest.raises(FrameError) as info:
        decode(CompressedImage(bytes(data), 'png'))
    assert info.value.reason == 'compressed'


def test_a_grey_png_of_sixteen_bits_is_scaled_to_eight():
    data = png(np.full((4, 4), 257 * 50, np.uint16))
    assert (decode(CompressedImage(data, 'mono16; png compressed ')) == 50).all()


def test_an_exif_rotation_is_not_applied():
    data = jpeg(picture())
    # TIFF header, one entry: tag 0x0112 (orientation), short, 1 value, 6 (rotate by 90 degrees)
    tiff = b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
    exif = b'Exif\0\0' + tiff
    marked = data[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(marked, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert decode(CompressedImage(marked)).shape == (48, 64, 3)


@pytest.fixture
def fresh_backend():
    """Forget the backend before and after, for tests that change what can be imported."""
    def forget():
        imaging._cv_bridge.cache_clear()
        imaging._rosbags_image.cache_clear()
    forget()
    yield
    forget()


def test_a_broken_cv_bridge_is_logged_once_with_its_reason(
        tmp_path, monkeypatch, caplog, fresh_backend):
    package = tmp_path / 'cv_bridge'
    (package / 'boost').mkdir(parents=True)
    (package / '__init__.py').write_text('CvBridge = None\n')
    (package / 'boost' / '__init__.py').write_text('')
    (package / 'boost' / 'cv_bridge_boost.py').write_text(
        'raise ImportError("numpy.core.multiarray failed to import")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    for name in [x for x in sys.modules if x.startswith('cv_bridge')]:
        monkeypatch.delitem(sys.modules, name)
    with caplog.at_level(logging.WARNING):
        assert imaging.backend() == 'rosbags-image'
        np.testing.assert_array_equal(
            decode(raw('bgr8', COLOURS[:, :, ::-1].reshape(4, 12))), COLOURS)
    (line,) = [x.getMessage() for x in caplog.records if 'cv_bridge' in x.getMessage()]
    assert 'numpy.core.multiarray failed to import' in line
    for name in [x for x in sys.modules if x.startswith('cv_bridge')]:
        del sys.modules[name]


def test_a_cv_bridge_that_ends_the_process_is_only_a_reason(
        tmp_path, monkeypatch, caplog, fresh_backend):
    if np.lib.NumpyVersion(np.__version__) < '2.0.0':
        pytest.skip('NumPy 1 is installed: compiled cv_bridge is not probed')
    (tmp_path / 'cv_bridge').mkdir()
    (tmp_path / 'cv_bridge' / '__init__.py').write_text('import os\nos.abort()\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    for name in [x for x in sys.modules if x.startswith('cv_bridge')]:
        monkeypatch.delitem(sys.modules, name)
    with caplog.at_level(logging.WARNING):
        assert imaging.backend() == 'rosbags-image'
    assert 'exit status -6' in caplog.text


def test_without_any_decoder_the_error_names_both(monkeypatch):
    monkeypatch.setattr(imaging, '_cv_bridge', lambda: None)
    monkeypatch.setattr(imaging, '_rosbags_image', lambda: None)
    with pytest.raises(MossError, match='cv_bridge.*rosbags-image'):
        decode(raw('mono8', np.zeros((4, 4))))


def test_planar_images_go_through_rosbags_image_beside_cv_bridge(monkeypatch):
    monkeypatch.setattr(imaging, '_cv_bridge', lambda: pytest.fail)
    assert imaging.backend() == 'cv_bridge'
    image = decode(RawImage('nv12', 2, 2, 2, bytes([150] * 4 + [100, 180])))
    np.testing.assert_allclose(image[0, 0], (239, 125, 99), atol=1)  # fixed point, as above


@pytest.mark.parametrize('encoding', sorted(imaging.CV_BRIDGE_ENCODINGS))
def test_both_backends_give_the_same_image(encoding):
    if imaging._cv_bridge() is None:
        pytest.skip('cv_bridge is not installed, or does not import')
    if imaging._rosbags_image() is None:
        pytest.skip('rosbags-image is not installed')
    rng = np.random.default_rng(7)
    message = raw(encoding, rng.integers(
        0, 256, (8, 4 * PIXEL_BYTES[encoding]), np.uint8))
    image = imaging._normalise(message)
    # Two builds of OpenCV may round a colour space differently by 1; channels are only moved.
    np.testing.assert_allclose(
        imaging.decode_by_cv_bridge(image).astype(int), imaging.decode_by_rosbags(image),
        atol=1 if PIXEL_BYTES[encoding] == 2 or 'bayer' in encoding else 0)


def test_importing_it_imports_neither_ros_nor_torch():
    script = ('import sys, moss_perception.core.images; '
              'sys.exit(bool({"rclpy", "torch", "cv_bridge", "rosbags"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', script], check=False).returncode == 0
