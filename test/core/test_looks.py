"""Which pictures are doubtful, and which only look strange."""

import cv2
from moss_perception.core.image_messages import CompressedImage, RawImage
from moss_perception.core.images import decode
from moss_perception.core.looks import ALTERNATING, CONSTANT, DARK, DEPTH, doubt, LOOKS, Views
import numpy as np
import pytest


def scene(low=0, high=255):
    rng = np.random.default_rng(6)
    image = cv2.resize(rng.integers(low, high, (12, 16, 3)).astype(np.float32), (320, 240))
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def depth_mm():
    """Return the depth of a slope with holes, as a depth camera publishes it, in millimetres."""
    depth = np.tile(np.linspace(500, 1500, 320), (240, 1))
    depth[60:120, 80:180] = 0
    return depth.astype(np.uint16)


def grey(image):
    return np.dstack([image] * 3)


@pytest.mark.parametrize('value', [0, 3, 20])
def test_a_covered_lens_is_dark(value):
    noise = np.random.default_rng(0).integers(0, 2, (240, 320, 3)).astype(np.uint8)
    assert doubt(np.minimum(noise + value, 255)) == DARK


def test_a_picture_with_little_light_is_dark_and_one_with_some_is_not():
    assert doubt(scene(0, 9)) == DARK
    assert doubt(scene(0, 60)) == ''
    lamp = np.zeros((240, 320, 3), np.uint8) + 2
    lamp[100:160, 100:200] = (250, 240, 200)
    assert doubt(lamp) == ''


@pytest.mark.parametrize('colour', [(90, 90, 90), (255, 255, 255), (0, 120, 30)])
def test_a_picture_of_one_colour_is_constant(colour):
    assert doubt(np.full((240, 320, 3), colour, np.uint8)) == CONSTANT


def test_depth_that_is_called_grey_of_sixteen_bits_is_depth():
    data = depth_mm()
    raw = RawImage('mono16', 240, 320, 640, data.astype('<u2').tobytes())
    packed = CompressedImage(cv2.imencode('.png', data)[1].tobytes(), 'mono16; png compressed ')
    assert (doubt(decode(raw)), doubt(decode(packed))) == (DEPTH, DEPTH)


def test_depth_that_is_scaled_to_grey_is_depth():
    assert doubt(grey((depth_mm() / 8).astype(np.uint8))) == DEPTH


def test_pictures_of_a_scene_are_not_doubtful():
    assert doubt(scene()) == ''
    assert doubt(grey(scene()[..., 0])) == ''
    # A shadow has values of all kinds, and so does the edge of what is black.
    shadow = grey(scene()[..., 0]).astype(int) - np.linspace(0, 200, 320).astype(int)[:, None]
    assert doubt(np.clip(shadow, 0, 255).astype(np.uint8)) == ''


@pytest.mark.parametrize('shape', [(1, 1, 3), (2, 500, 3), (64, 64, 3)])
def test_a_picture_of_any_size_is_looked_at(shape):
    assert doubt(np.zeros(shape, np.uint8)) == DARK


def test_each_look_says_what_was_expected():
    assert set(LOOKS) == {DARK, CONSTANT, DEPTH, ALTERNATING}
    assert all('expected' in words for words in LOOKS.values())


def shifted(picture, pixels):
    return np.roll(picture, pixels, 1)


def test_two_cameras_on_one_topic_are_noticed_even_if_some_images_are_lost():
    first, second, views = scene(), scene()[::-1].copy(), Views()
    rng = np.random.default_rng(0)
    shown = [x for n in range(40) for x in (shifted(first, n), shifted(second, n))
             if rng.random() > 0.33]
    assert sum(views.alternate(x) for x in shown) > 8


def test_a_flicker_is_not_a_second_camera():
    views, lit = Views(), scene()
    shown = [lit // 4 if n == 5 else lit for n in range(20)]
    assert not any(map(views.alternate, shown))
    # Light that flickers again and again is worth a look.
    assert any(map(views.alternate, [lit // 4, lit] * 4))


@pytest.mark.parametrize('speed', [0, 1, 5, 40])
def test_one_camera_is_not_taken_for_two(speed):
    views = Views()
    assert not any(views.alternate(shifted(scene(), speed * n)) for n in range(20))
    # A camera that is moved, or changes its size.
    assert not any(map(views.alternate, (scene()[::-1], scene()[::-1], scene()[:40, :40])))
