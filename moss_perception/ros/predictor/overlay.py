"""The debug image: scores, motion heat and a banner for unfamiliar images over the image."""

import cv2
from moss_perception.core.scores import Prediction
import numpy as np

GOOD, POOR, UNKNOWN = (60, 200, 90), (235, 110, 50), (150, 150, 150)
SHORT_SIDE, LARGEST_FACTOR = 480, 8
FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALLEST_FONT = 0.3


def motion_energy(features: np.ndarray) -> np.ndarray:
    """
    Measure how much each position's motion differs from that of most others.

    :param features: float32, shape ``(h, w, D)``, the MOSS map.
    :returns: float32, shape ``(h, w)``, 0 or more: the distance from the median feature.
    """
    usual = np.median(features.reshape(-1, features.shape[2]), axis=0)
    return np.linalg.norm(features - usual, axis=2).astype(np.float32)


class Overlay:
    """
    Draws predictions; the heat's scale follows the strongest motion of the last seconds.

    :param decay: what remains of the scale from one image to the next.
    """

    def __init__(self, decay: float = 0.98):
        self._decay = decay
        self._peak = 0.0

    def draw(self, prediction: Prediction, threshold: float,
             unfamiliar: bool = False) -> np.ndarray:
        """
        Draw one prediction over a copy of its image.

        :param prediction: prediction to draw.
        :param threshold: lowest score that is drawn as good.
        :param unfamiliar: whether the stream is out of distribution; a banner says so.
        :returns: uint8, RGB, shape ``(n * H, n * W, 3)``, enlarged by a whole number ``n`` where
            the image is small.
        """
        image = self._heat(prediction)
        # You could not read text over a small image.
        factor = min(max(1, round(SHORT_SIDE / min(image.shape[:2]))), LARGEST_FACTOR)
        image = image.repeat(factor, axis=0).repeat(factor, axis=1)
        pixels = (prediction.pixels + 0.5) * factor - 0.5
        for i, (pixel, score) in enumerate(zip(pixels, prediction.scores, strict=True)):
            if np.isfinite(pixel).all():
                _draw_candidate(image, i, pixel, score, threshold)
        _draw_bar(image, prediction, threshold)
        if unfamiliar:
            _draw_banner(image, prediction.ood_score)
        return image

    def _heat(self, prediction: Prediction) -> np.ndarray:
        energy = motion_energy(prediction.motion_features)
        self._peak = max(float(energy.max()), self._decay * self._peak, 1e-6)
        height, width = prediction.size
        side = max(height, width)
        # The map covers the square into which the image was fitted, centred.
        square = cv2.resize(energy / self._peak, (side, side), interpolation=cv2.INTER_LINEAR)
        top, left = (side - height) // 2, (side - width) // 2
        heat = np.clip(square[top:top + height, left:left + width], 0, 1)
        colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
        weight = 0.6 * heat[:, :, None]
        return (prediction.image * (1 - weight) + colours[:, :, ::-1] * weight).astype(np.uint8)


def _colour(score: float, threshold: float) -> tuple[int, int, int]:
    if not np.isfinite(score):
        return UNKNOWN
    return GOOD if score >= threshold else POOR


def _draw_candidate(image: np.ndarray, index: int, pixel: np.ndarray, score: float,
                    threshold: float) -> None:
    unit = min(image.shape[:2])
    centre = (int(round(pixel[0])), int(round(pixel[1])))
    colour = _colour(score, threshold)
    cv2.circle(image, centre, max(3, unit // 60), colour, max(1, unit // 200), cv2.LINE_AA)
    _write(image, f'{index}: {score:.2f}', (centre[0] + unit // 40, centre[1]), unit / 700, colour)


def _draw_bar(image: np.ndarray, prediction: Prediction, threshold: float) -> None:
    """Draw the default grasp's score along the lower edge, with a tick at the threshold."""
    height, width = image.shape[:2]
    thick = max(6, height // 24)
    colour = _colour(prediction.score, threshold)
    image[height - thick:] //= 4
    image[height - thick + 1:height - 1, :int(round(prediction.score * width))] = colour
    tick = min(width - 1, int(round(threshold * width)))
    image[height - thick:, max(0, tick - 1):tick + 1] = 255
    text = (f'{prediction.score:.2f} +- {prediction.uncertainty:.2f}   '
            f't = {prediction.stamp_ns / 1e9:.2f} s')
    _write(image, text, (thick // 2, height - thick - thick // 3), height / 700, colour)


def _draw_banner(image: np.ndarray, ood_score: float) -> None:
    """Say along the upper edge that the images are out of distribution."""
    height, width = image.shape[:2]
    thick = max(8, height // 14)
    image[:thick] = POOR
    text = f'OUT OF DISTRIBUTION   OOD score {ood_score:.2f}, limit 1'
    # The longest scale at which the text fits into the image.
    (wide, _), _ = cv2.getTextSize(text, FONT, 1.0, 1)
    scale = min(thick / 40, 0.9 * width / wide)
    _write(image, text, (thick // 3, round(0.75 * thick)), scale, (255, 255, 255))


def _write(image: np.ndarray, text: str, at: tuple[int, int], scale: float,
           colour: tuple[int, int, int]) -> None:
    """
    Write text with a dark rim, so that you can read it on any background.

    :param image: uint8, RGB, shape ``(H, W, 3)``; drawn on in place. What lies outside of it is
        cut off.
    :param at: left end of the text's baseline, pixels.
    :param scale: of the font; at least ``SMALLEST_FONT`` is used.
    """
    scale = max(scale, SMALLEST_FONT)
    thickness = max(1, round(scale * 1.5))
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    # Glyphs may be larger than the size that OpenCV returns.
    pad = height // 2 + 2 * thickness + 2
    left, top = max(0, at[0] - pad), max(0, at[1] - height - pad)
    part = image[top:max(0, at[1] + baseline + pad), left:max(0, at[0] + width + pad)]
    if not part.size:
        return
    glyphs = np.zeros(part.shape[:2], np.uint8)
    cv2.putText(glyphs, text, (at[0] - left, at[1] - top), FONT, scale, 255, thickness,
                cv2.LINE_AA)
    # Drawn as thicker text, the rim would be out of place: OpenCV 5 sets thicker glyphs wider.
    drawn = np.where(glyphs > 0, 255, 0).astype(np.uint8)
    rim = cv2.dilate(drawn, np.ones((3, 3), np.uint8), iterations=thickness)
    for mask, paint in ((rim, (0, 0, 0)), (glyphs, colour)):
        weight = mask[:, :, None] / np.float32(255)
        part[:] = np.rint(part * (1 - weight) + np.array(paint, np.float32) * weight)
