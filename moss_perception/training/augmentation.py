"""Random changes of the clips that a network trains on."""

import cv2
from moss_perception.core.geometry import GROUND
import numpy as np

# Photometric changes at full strength.
_GAIN = 0.5
_GAMMA = 0.5
_SHADING = 0.6
_NOISE = 10.0
_BLUR_PIXELS = 0.8
_NEGATIVES = 0.5
_TEXTURES = 0.5
# Geometric changes at full strength: radians, a factor, and parts of half the image's side.
_TURN = 0.35
_SCALE = 0.15
_SHIFT = 0.08
_KEYSTONE = 0.06
# Of a real camera at full strength: lowest JPEG quality, and change of exposure within a clip.
_QUALITY = 30
_EXPOSURE = 0.3
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def mirror(images: np.ndarray, encoded: list[np.ndarray],
           generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """
    Mirror a clip and its grasps along each axis with a probability of one half.

    :param images: uint8, shape ``(T, S, S, 3)``.
    :param encoded: grasps as the network takes them, each of shape ``(K, 5)`` or, with lead
        times, ``(K, 6)``; not changed.
    :returns: images and encoded grasps.
    """
    encoded = [values.copy() for values in encoded]
    for axis, columns in ((2, [0, 3]), (1, [1, 4])):
        if generator.random() < 0.5:
            images = np.flip(images, axis)
            for values in encoded:
                values[:, columns] *= -1
    return images, *encoded


def move(images: np.ndarray, encoded: list[np.ndarray], strength: float,
         generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """
    Warp a clip and its grasps as if a camera with another pose and lens had seen them.

    Rotation, scale, shift and keystone are the same in the whole clip.

    :param images: uint8, shape ``(T, S, S, 3)``.
    :param encoded: grasps as the network takes them, each of shape ``(K, 5)`` or, with lead
        times, ``(K, 6)``; not changed.
    :param strength: in [0, 1].
    :returns: images and encoded grasps.
    """
    if not strength:
        return images, *encoded
    turn, scale, *others = strength * generator.uniform(-1, 1, 6)
    turn, scale = _TURN * turn, np.exp(np.log1p(_SCALE) * scale)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    view = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    view[:2, 2], view[2, :2] = _SHIFT * np.array(others[:2]), _KEYSTONE * np.array(others[2:])
    side = images.shape[1]
    # From pixels, whose centres are whole numbers, to -1 to 1 at the image's edges.
    unit = np.array([[2 / side, 0, 1 / side - 1], [0, 2 / side, 1 / side - 1], [0, 0, 1]])
    pixels = np.linalg.solve(unit, view @ unit)
    images = np.stack([cv2.warpPerspective(frame, pixels, (side, side),
                                           borderValue=(GROUND,) * 3) for frame in images])
    return images, *(_move_grasps(values, view) for values in encoded)


def _move_grasps(grasps: np.ndarray, view: np.ndarray) -> np.ndarray:
    points, fingers = grasps[:, :2].astype(float), grasps[:, 3:5]
    # Differentiate numerically: the warp is taken as linear over a hand.
    ends = _project(points + 1e-3 * fingers, view)
    moved = _project(points, view)
    return np.column_stack([moved, grasps[:, 2], (ends - moved) / 1e-3,
                            grasps[:, 5:]]).astype(grasps.dtype)


def _project(points: np.ndarray, view: np.ndarray) -> np.ndarray:
    points = np.column_stack([points, np.ones(len(points))]) @ view.T
    return points[:, :2] / points[:, 2:]


def shift_grasps(grasps: np.ndarray, spread: float,
                 generator: np.random.Generator) -> np.ndarray:
    """
    Shift all grasps of a clip alike, as an error of the camera's pose does.

    :param grasps: as the network takes them, shape ``(K, 5)`` or ``(K, 6)``.
    :param spread: standard deviation of the shift in each direction, in units of half the
        gripper's opening; with 0 nothing is drawn.
    :returns: of the same shape; a grasp whose shift would leave the image stays where it is.
    """
    if not spread:
        return grasps
    along, across = spread * generator.standard_normal(2)
    fingers = grasps[:, 3:5]
    reach = np.linalg.norm(fingers, axis=1, keepdims=True)
    # The same direction in the image for all, whatever their yaw.
    moved = grasps[:, :2] + reach * np.array([along, across])
    inside = (np.abs(moved) <= 1).all(axis=1, keepdims=True)
    return np.column_stack([np.where(inside, moved, grasps[:, :2]),
                            grasps[:, 2:]]).astype(grasps.dtype)


def degrade(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """
    Change a clip as a real camera does: exposure that drifts, and JPEG artefacts.

    Half of the clips drift, and half are compressed, with one quality for the whole clip.

    :param images: uint8, RGB, shape ``(T, S, S, 3)``.
    :param strength: in [0, 1]; with 0 nothing is drawn.
    :returns: uint8, of the same shape.
    """
    if not strength:
        return images
    drifts, compresses = generator.random(2) < 0.5
    if drifts:
        first, last = np.exp(generator.uniform(-1, 1, 2) * np.log1p(_EXPOSURE) * strength)
        gains = np.linspace(first, last, len(images)).astype(np.float32)[:, None, None, None]
        images = np.clip(images * gains, 0, 255).astype(np.uint8)
    if compresses:
        lowest = 100 - (100 - _QUALITY) * strength
        quality = [cv2.IMWRITE_JPEG_QUALITY, round(generator.uniform(lowest, 100))]
        coded = [cv2.imencode('.jpg', frame[..., ::-1], quality)[1] for frame in images]
        images = np.stack([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
                           for data in coded])
    return images


def shown_frames(count: int, most: float, generator: np.random.Generator) -> np.ndarray:
    """
    Lose random frames of a clip; the frame before is shown, as the predictor does.

    :param count: number of frames; the first and the last are never lost.
    :param most: largest share of the others to lose, in [0, 1]; each clip draws its share.
    :returns: index of the frame that is shown at each place, shape ``(count,)``.
    """
    if not most or count < 3:
        return np.arange(count)
    lost = generator.random(count) < generator.uniform(0, most)
    lost[[0, -1]] = False
    return np.maximum.accumulate(np.where(lost, 0, np.arange(count)))


def frames_at(stamps_ns: np.ndarray, rate_hz: float) -> np.ndarray:
    """
    Choose the frames of a clip that a camera of a lower rate would have delivered.

    Its frames are those nearest to its ticks, which end at the newest frame. Between them the
    frame before is shown, as the predictor does.

    :param stamps_ns: of the frames, ascending, shape ``(T,)``, nanoseconds.
    :param rate_hz: above 0; frames that do not exist are not made up at a higher rate.
    :returns: index of the frame that is shown at each place, shape ``(T,)``; the first and the
        last place show their own.
    """
    ages = (stamps_ns[-1] - stamps_ns) / 1e9
    ticks = np.arange(0, ages[0] + 1e-6, 1 / rate_hz)
    nearest = np.abs(ages[:, None] - ticks).argmin(axis=0)
    own = np.zeros(len(ages), int)
    own[nearest] = nearest
    own[-1] = len(ages) - 1
    return np.maximum.accumulate(own)


def vary(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """
    Vary brightness and contrast of a clip, and with a strength above 0 its appearance.

    The same for the whole clip: the gain and gamma of each colour, hue, saturation, shading,
    inversion (so that neither colour nor brightness tells objects from the ground), and in half
    of the clips the texture and the sharpness. Noise is drawn for each pixel of each frame.
    The random filter of the texture is that of arXiv 2007.13003, with one kernel for all colours.

    :param images: uint8, RGB, shape ``(T, S, S, 3)``.
    :param strength: in [0, 1].
    :returns: uint8, of the same shape.
    """
    gain, shift = generator.uniform(0.8, 1.25), generator.uniform(-25, 25)
    levels = np.clip(np.arange(256) * gain + shift, 0, 255)
    if not strength:
        return levels.astype(np.uint8)[images]
    if generator.random() < _NEGATIVES * strength:
        levels = 255 - levels
    gains = np.exp(generator.uniform(-1, 1, 3) * np.log1p(_GAIN) * strength)
    gammas = np.exp(generator.uniform(-1, 1, 3) * np.log1p(_GAMMA) * strength)
    table = 255 * np.clip(levels[:, None] / 255 * gains, 0, 1) ** gammas
    # All frames as one high image: OpenCV does this in a fraction of NumPy's time.
    high = cv2.LUT(images.reshape(-1, *images.shape[2:]), table.astype(np.float32)[None])
    out = cv2.transform(high, _colours(strength, generator).T).reshape(images.shape)
    if generator.random() < _TEXTURES * strength:
        out = _textured(out, generator)
    out *= _shading(images.shape[1], strength, generator)
    if generator.random() < 0.5:
        sigma = generator.uniform(0.2, _BLUR_PIXELS) * strength
        out = np.stack([cv2.GaussianBlur(frame, (5, 5), sigma) for frame in out])
    noise = generator.uniform(0, _NOISE) * strength
    out += generator.standard_normal(out.shape, np.float32) * np.float32(noise)
    return np.clip(out, 0, 255).astype(np.uint8)


def _colours(strength: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a matrix, for colours from the left, that turns hues and scales saturation."""
    angle = generator.uniform(-np.pi, np.pi) * strength
    saturation = generator.uniform(1 - strength, 1 + 0.5 * strength)
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross
    level = np.tile(_LUMINANCE[:, None], 3)
    return (turned @ (saturation * np.eye(3) + (1 - saturation) * level)).astype(np.float32)


def _textured(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Mix a clip with its randomly filtered copy, which changes textures and edges."""
    size = int(generator.choice((3, 5)))
    kernel = generator.standard_normal((size, size)).astype(np.float32) / size
    share, mean = np.float32(generator.uniform(0.2, 1.0)), images.mean(axis=(0, 1, 2))
    flat = images - mean
    filtered = np.stack([cv2.filter2D(frame, -1, kernel) for frame in flat])
    filtered *= flat.std() / (filtered.std() + np.float32(1e-3))
    return mean + (1 - share) * flat + share * filtered


def _shading(side: int, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Draw how bright the light is at each place, float32, shape ``(S, S, 1)``."""
    coarse = generator.uniform(-1, 1, (4, 4)) * np.log1p(_SHADING) * strength
    fine = cv2.resize(np.exp(coarse).astype(np.float32), (side, side),
                      interpolation=cv2.INTER_LINEAR)
    return fine[..., None]
