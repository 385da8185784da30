"""How clips are changed while a network trains on them."""

import cv2
import numpy as np

# What the full strength of a photometric change is.
_GAIN = 0.5
_GAMMA = 0.5
_NOISE = 10.0
_BLUR_PIXELS = 0.8


def mirror(images: np.ndarray, encoded: list[np.ndarray],
           generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """
    Mirror a clip, and what lies in its plane, along either axis, each in half of the cases.

    :param images: uint8, shape ``(T, S, S, 3)``.
    :param encoded: grasps as the network takes them, each of shape ``(K, 5)``; not changed.
    :returns: images and encoded grasps.
    """
    encoded = [values.copy() for values in encoded]
    for axis, columns in ((2, [0, 3]), (1, [1, 4])):
        if generator.random() < 0.5:
            images = np.flip(images, axis)
            for values in encoded:
                values[:, columns] *= -1
    return images, *encoded


def vary(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """
    Vary brightness and contrast of a clip, and with a strength above 0 what a camera varies too.

    That is each colour's gain and gamma, alike in the whole clip; the noise, anew in each
    pixel; and in half of the clips the sharpness.

    :param images: uint8, RGB, shape ``(T, S, S, 3)``.
    :param strength: in [0, 1].
    :returns: uint8, of the same shape.
    """
    gain, shift = generator.uniform(0.8, 1.25), generator.uniform(-25, 25)
    levels = np.clip(np.arange(256) * gain + shift, 0, 255)
    if not strength:
        return levels.astype(np.uint8)[images]
    gains = np.exp(generator.uniform(-1, 1, 3) * np.log1p(_GAIN) * strength)
    gammas = np.exp(generator.uniform(-1, 1, 3) * np.log1p(_GAMMA) * strength)
    table = 255 * np.clip(levels[:, None] / 255 * gains, 0, 1) ** gammas
    out = table.astype(np.float32)[images, np.arange(3)]
    if generator.random() < 0.5:
        sigma = generator.uniform(0.2, _BLUR_PIXELS) * strength
        out = np.stack([cv2.GaussianBlur(frame, (5, 5), sigma) for frame in out])
    noise = generator.uniform(0, _NOISE) * strength
    out += generator.standard_normal(out.shape, np.float32) * np.float32(noise)
    return np.clip(out, 0, 255).astype(np.uint8)
