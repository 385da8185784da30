"""The debug image: grippers with scores, motion heat, a legend, and a banner if unfamiliar."""

import cv2
from moss_perception.core.frames import Camera, yaws_from_orientations
from moss_perception.core.scores import Prediction
from moss_perception.evaluation.grasp_drawing import stroke_gripper
from moss_perception.ros.predictor.labels import (
    BLACK,
    BOX,
    Box,
    line_height,
    place,
    shade,
    text_size,
    WHITE,
    write,
)
from moss_perception.ros.predictor.markers import best_index
import numpy as np

GOOD, POOR, UNKNOWN = (60, 200, 90), (235, 110, 50), (150, 150, 150)
SELECTED = (80, 190, 255)
SHORT_SIDE, LARGEST_FACTOR = 480, 8


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

    :param half_width_m: half of the gripper's opening, metres.
    :param default_point: image point (column, row) of the default grasp, in [0, 1] of the image.
    :param decay: what remains of the heat's scale from one image to the next.
    """

    def __init__(self, half_width_m: float = 0.04,
                 default_point: tuple[float, float] = (0.5, 0.5), decay: float = 0.98):
        self._half_width_m, self._default_point = half_width_m, default_point
        self._decay = decay
        self._peak = 0.0

    def draw(self, prediction: Prediction, threshold: float, unfamiliar: bool = False,
             camera: Camera | None = None, selected: int | None = None) -> np.ndarray:
        """
        Draw one prediction over a copy of its image.

        :param prediction: prediction to draw.
        :param threshold: lowest score that is drawn as good.
        :param unfamiliar: whether the stream is out of distribution; a banner says so.
        :param camera: calibration, for the width of the grippers; ``None`` draws points.
        :param selected: index of the candidate that a planner has selected, if it is known.
        :returns: uint8, RGB, shape ``(n * H, n * W, 3)``, enlarged by a whole number ``n`` where
            the image is small.
        """
        image = self._heat(prediction)
        # You could not read text over a small image.
        factor = min(max(1, round(SHORT_SIDE / min(image.shape[:2]))), LARGEST_FACTOR)
        image = image.repeat(factor, axis=0).repeat(factor, axis=1)
        best = best_index(prediction.scores)
        taken = [_draw_footer(image, prediction, threshold, best, selected is not None)]
        if unfamiliar:
            taken.append(_draw_banner(image, prediction.ood_score))
        self._draw_default(image)
        marks = _Marks(best, selected, threshold)
        fingers = self._fingers(prediction, camera)
        # The best comes last, over the others, but its label is placed first.
        order = marks.order(prediction.scores)
        for index in reversed(order):
            _draw_gripper(image, fingers[index], marks.colour(prediction.scores, index),
                          index in (best, selected))
        taken += [_around(image, fingers[index]) for index in order]
        for index in order:
            _draw_label(image, marks.text(prediction.scores, index), fingers[index],
                        marks.colour(prediction.scores, index), index in (best, selected), taken)
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

    def _fingers(self, prediction: Prediction, camera: Camera | None) -> np.ndarray:
        """Return the fingertips of each candidate, shape ``(K, 2, 2)``, in [0, 1] of the image."""
        height, width = prediction.size
        along = np.zeros_like(prediction.pixels)
        seen = np.isfinite(prediction.pixels).all(axis=1)
        # A calibration of another size may have come since the prediction.
        fitting = camera.at_size(width, height) if camera is not None else None
        if fitting is not None and seen.any():
            focal = np.diag(fitting.matrix)[:2]
            yaws = yaws_from_orientations(prediction.orientations[seen])
            reach = self._half_width_m * focal / prediction.points[seen, 2:]
            along[seen] = reach * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
        tips = np.stack([prediction.pixels - along, prediction.pixels + along], axis=1)
        return (tips + 0.5) / (width, height)

    def _draw_default(self, image: np.ndarray) -> None:
        """Draw a cross at the default grasp point."""
        height, width = image.shape[:2]
        centre = [round(self._default_point[0] * width), round(self._default_point[1] * height)]
        size = line_height(image)
        for colour, more in ((BLACK, 2), (WHITE, 0)):
            cv2.drawMarker(image, centre, colour, cv2.MARKER_CROSS, size + more,
                           max(1, size // 12) + more, cv2.LINE_AA)


class _Marks:
    """Which candidates are marked, and how they are named."""

    def __init__(self, best: int | None, selected: int | None, threshold: float):
        self.best, self.selected, self.threshold = best, selected, threshold

    def order(self, scores: np.ndarray) -> list[int]:
        """Return the candidates with a score, the selected and the best first."""
        known = np.flatnonzero(np.isfinite(scores)).tolist()
        return sorted(known, key=lambda k: (k != self.selected, k != self.best, -scores[k]))

    def colour(self, scores: np.ndarray, index: int) -> tuple[int, int, int]:
        return SELECTED if index == self.selected else _colour(scores[index], self.threshold)

    def text(self, scores: np.ndarray, index: int) -> str:
        names = ['best'] * (index == self.best) + ['selected'] * (index == self.selected)
        return ' '.join([*names, f'{index}: {scores[index]:.2f}'])


def _colour(score: float, threshold: float) -> tuple[int, int, int]:
    if not np.isfinite(score):
        return UNKNOWN
    return GOOD if score >= threshold else POOR


def _draw_gripper(image: np.ndarray, fingers: np.ndarray, colour: tuple[int, int, int],
                  marked: bool) -> None:
    if np.isfinite(fingers).all():
        stroke_gripper(image, fingers, colour, WHITE if marked else BLACK)


def _around(image: np.ndarray, fingers: np.ndarray) -> Box:
    """Return a box around the middle of a grasp, which labels leave free."""
    x, y = _middle(image, fingers)
    half = line_height(image) // 3
    return Box(x - half, y - half, x + half, y + half)


def _middle(image: np.ndarray, fingers: np.ndarray) -> tuple[int, int]:
    x, y = fingers.mean(axis=0) * (image.shape[1], image.shape[0]) - 0.5
    return round(x), round(y)


def _draw_label(image: np.ndarray, text: str, fingers: np.ndarray,
                colour: tuple[int, int, int], marked: bool, taken: list[Box]) -> None:
    """Write a label beside its grasp, clear of the others; without a free place, none."""
    line, centre = line_height(image), _middle(image, fingers)
    box = place(image, text_size(text, line), centre, round(0.6 * line), taken)
    if box is None:
        return
    taken.append(box)
    near = (min(max(centre[0], box.left), box.right - 1),
            min(max(centre[1], box.top), box.bottom - 1))
    cv2.line(image, centre, near, colour, max(1, line // 14), cv2.LINE_AA)
    write(image, text, box.left, box.top, line, *((BLACK, colour) if marked else (colour, BOX)))


def _draw_footer(image: np.ndarray, prediction: Prediction, threshold: float,
                 best: int | None, has_selected: bool) -> Box:
    """Write the best score with a bar, that of the default point, and the legend."""
    height, width = image.shape[:2]
    line, default = line_height(image), prediction.score
    score = default if best is None else float(prediction.scores[best])
    of, uncertainty = ('default point', prediction.uncertainty) if best is None else (
        f'best candidate {best}', prediction.uncertainties[best])
    missing = int(np.isnan(prediction.scores).sum())
    rows = [(f'{of}: {score:.2f} +- {uncertainty:.2f}', _colour(score, threshold))]
    if best is not None:
        rows.append((f'default point (+): {default:.2f} +- {prediction.uncertainty:.2f}'
                     + (f'   {missing} without score' if missing else ''), WHITE))
    rows.append((f'green: {threshold:.2f} or more   orange: less'
                 + '   blue: selected' * has_selected + '   bright: motion', WHITE))
    bar, first = max(4, line // 3), round(1.3 * line)
    top = height - bar - first - line * (len(rows) - 1)
    footer = Box(0, top, width, height)
    shade(image, footer)
    at = top
    for number, (text, colour) in enumerate(rows):
        tall = first if number == 0 else line
        # As large as fits.
        fitted = min(tall, int(tall * 0.96 * width / max(1, text_size(text, tall)[0])))
        if fitted > 0:
            write(image, text, 0, at + (tall - fitted) // 2, fitted, colour, None)
        at += tall
    image[height - bar:, :int(round(score * width))] = _colour(score, threshold)
    tick = min(width - 1, int(round(threshold * width)))
    image[height - bar:, max(0, tick - 1):tick + 1] = 255
    return footer


def _draw_banner(image: np.ndarray, ood_score: float) -> Box:
    """Say along the upper edge that the images are out of distribution."""
    width, tall = image.shape[1], round(1.4 * line_height(image))
    image[:tall] = POOR
    text = f'OUT OF DISTRIBUTION   OOD score {ood_score:.2f}, limit 1'
    fitted = min(tall, int(tall * 0.96 * width / text_size(text, tall)[0]))
    if fitted > 0:
        write(image, text, 0, (tall - fitted) // 2, fitted, BLACK, None)
    return Box(0, 0, width, tall)
