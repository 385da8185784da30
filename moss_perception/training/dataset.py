"""Scenes as the network takes them; geometry and preprocessing are the predictor's own."""

from moss_perception.core.frames import Camera
from moss_perception.core.geometry import encode_grasps, letterbox, project
from moss_perception.data.scenes import read_shards, Scene
from moss_perception.evaluation.attempts import in_view
from moss_perception.models.config import GraspConfig
from moss_perception.training.augmentation import lose, mirror, move, vary
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

# Nothing to hold is nearer to an empty place than this to any candidate, metres.
_EMPTY_DISTANCE_M = 0.12


class GraspScenes(Dataset):
    """
    Clips that end at the decision, with the candidate grasps and what became of each.

    An item is ``(images, grasps, outcomes, places)``: uint8 ``(T, S, S, 3)``, float32
    ``(K, 5)``, ``(K,)`` and ``(K, 4)``; the last is where the object is seen from the grasp
    point, as :meth:`moss_perception.models.head.GraspHead.forward` has it. ``empty`` more
    grasps are drawn at places without an object, which can only fail: so empty places score low,
    and the network learns early where the object is.

    :param scenes: the scenes.
    :param config: the checkpoint's configuration.
    :param augment: mirror clips at random, and vary brightness and contrast; a straight view
        down makes mirrored grasps as good as the originals.
    :param empty: number of grasps at empty places to add.
    :param frozen: repeat each clip's last frame in place of the others: nothing moves.
    :param monitor: share, in [0, 1], of the scenes in which a grasp was watched, that add a clip
        which ends at a frame drawn from its execution: the executed grasp is its one candidate,
        and whether that held its outcome, so that the one network learns both. The scenes take
        turns from epoch to epoch.
    :param photometric: see :class:`moss_perception.training.recipe.Recipe`; only with ``augment``,
        as are ``geometric`` and ``missing``.
    :param seed: of everything drawn; an item depends on it, on the epoch and on its index.
    """

    def __init__(self, scenes: list[Scene], config: GraspConfig, *, augment: bool = False,
                 empty: int = 0, frozen: bool = False, monitor: float = 0.0,
                 photometric: float = 0.0, geometric: float = 0.0, missing: float = 0.0,
                 seed: int = 0):
        self.scenes = scenes
        self._watched = [scene for scene in scenes if monitor and scene.monitor is not None]
        self._turn = round(monitor * len(self._watched))
        self.config = config
        self.augment = augment
        self.empty = empty
        self.frozen = frozen
        self.photometric = photometric
        self.geometric = geometric
        self.missing = missing
        self.seed = seed
        self.epoch = 0

    @property
    def drawn_from(self) -> tuple:
        """All but scenes, epoch and index that an item depends on."""
        return (self.augment, self.empty, self.frozen, self.photometric, self.geometric,
                self.missing, self._turn, self.seed)

    def __len__(self) -> int:
        return len(self.scenes) + self._turn

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        generator = np.random.default_rng((self.seed, self.epoch, index))
        if not 0 <= index < len(self):
            raise IndexError(f'there is no item {index}: expected one of {len(self)}')
        scene = self._scene(index, generator)
        frames = self._frames(scene)
        fitted = [letterbox(frame, self.config.image_size) for frame in frames]
        images, transform = np.stack([image for image, _ in fitted]), fitted[0][1]
        candidates, outcomes = scene.candidates.astype(np.float64), scene.outcomes
        places = _empty_places(scene, frames.shape[1:3], self.empty, generator)
        candidates = np.concatenate([candidates, places])
        outcomes = np.append(outcomes, np.zeros(len(places), bool))
        grasps = encode_scene(candidates, scene.matrix, frames.shape[1:3], transform, self.config)
        track = np.column_stack([scene.track.astype(np.float64), np.zeros(2)])
        seen = encode_scene(track, scene.matrix, frames.shape[1:3], transform, self.config,
                            inside=False)
        if self.augment:
            images, grasps, seen = mirror(images, [grasps, seen], generator)
            images, grasps, seen = move(images, [grasps, seen], self.geometric, generator)
            images = vary(lose(images, self.missing, generator), self.photometric, generator)
        return tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in (
            images, grasps, outcomes.astype(np.float32), _places(grasps, seen)))

    def _scene(self, index: int, generator: np.random.Generator) -> Scene:
        if index < len(self.scenes):
            return self.scenes[index]
        first = self.epoch * self._turn - len(self.scenes)
        scene = self._watched[(first + index) % len(self._watched)]
        return scene.during(int(generator.integers(len(scene.monitor.jpegs))))

    def _frames(self, scene: Scene) -> np.ndarray:
        """Return the samples that the network sees, by their stamps: uint8, ``(T, H, W, 3)``."""
        span = self.config.frames_seen
        if self.frozen:
            return scene.newest(1).repeat(span, axis=0)
        if isinstance(scene, Scene):
            return scene.clip(span, self.config.frame_rate_hz)
        # Decoded before: the window is all that was kept.
        return scene.newest(span)


def encode_scene(candidates: np.ndarray, matrix: np.ndarray, size: tuple[int, ...],
                 transform: np.ndarray, config: GraspConfig, inside: bool = True) -> np.ndarray:
    """
    Encode a scene's candidates as the predictor does with those of a planner.

    :param candidates: float64, shape ``(K, 4)``: x, y, z and yaw in the optical frame.
    :param matrix: of the camera, shape ``(3, 3)``, pixels.
    :param size: the image's height and width, pixels.
    :param transform: from :func:`letterbox`.
    :param config: the checkpoint's configuration.
    :param inside: whether what lies outside the image becomes NaN.
    :returns: float32, shape ``(K, 5)``.
    """
    if inside:
        pixels, _ = project(candidates[:, :3], Camera(size[1], size[0], matrix))
    else:
        pixels = (candidates[:, :3] @ matrix.T)[:, :2] / candidates[:, 2:3]
    return encode_grasps(pixels, candidates[:, 2], candidates[:, 3],
                         (matrix[0, 0], matrix[1, 1]), transform, config.image_size,
                         config.gripper_half_width_m)


def load_scenes(folder: str, limit: int | None = None,
                unfinished: bool = False) -> list[Scene]:
    """
    Read the scenes whose candidates all lie in the image.

    :param folder: of shards, see :mod:`moss_perception.data.scenes`.
    :param limit: read at most so many.
    :param unfinished: also read a folder that lacks some of what it promises.
    :raises SimulationError: if there are none, one can't be read, or some are missing.
    """
    return in_view(read_shards(folder, unfinished), limit)


def collate(items: list) -> tuple[torch.Tensor, ...]:
    """Stack items; where one has fewer grasps than others, a last value ``valid`` is 0."""
    images, *values = zip(*items, strict=True)
    values.append([torch.ones(len(outcomes)) for outcomes in values[1]])
    return torch.stack(images), *(pad_sequence(value, batch_first=True) for value in values)


def defaults_from(scenes: list[Scene]) -> dict:
    """Return the configuration of the default grasp: the mean candidate of these scenes."""
    width, height = scenes[0].image_size
    camera = Camera(width, height, scenes[0].matrix)
    candidates = np.concatenate([s.candidates for s in scenes]).astype(np.float64)
    pixels = project(candidates[:, :3], camera)[0].mean(axis=0)
    return {'default_point': tuple(float(x) for x in (pixels + 0.5) / (width, height)),
            'default_depth_m': float(candidates[:, 2].mean()),
            'default_focal': float(camera.matrix[0, 0] / width)}


def pixel_statistics(scenes: list[Scene], count: int = 64) -> dict:
    """Return mean and standard deviation of RGB in [0, 1] over the last frames of some scenes."""
    step = max(1, len(scenes) // count)
    pixels = np.stack([s.newest(1)[0] for s in scenes[::step]]) / 255
    return {'mean': tuple(float(x) for x in pixels.mean(axis=(0, 1, 2))),
            'std': tuple(float(x) for x in pixels.std(axis=(0, 1, 2)))}


def _empty_places(scene: Scene, size: tuple[int, ...], count: int,
                  generator: np.random.Generator) -> np.ndarray:
    """Draw grasps far from all candidates: up to ``count``, shape ``(N, 4)``."""
    depth = scene.candidates[:, 2].mean()
    pixels = generator.uniform((0, 0), (size[1] - 1, size[0] - 1), (4 * count, 2))
    rays = np.linalg.solve(scene.matrix, np.column_stack([pixels, np.ones(len(pixels))]).T).T
    places = rays * depth
    gaps = np.linalg.norm(places[:, None, :2] - scene.candidates[:, :2], axis=2)
    places = places[gaps.min(axis=1) > _EMPTY_DISTANCE_M][:count]
    return np.column_stack([places, generator.uniform(-np.pi, np.pi, len(places))])


def _places(grasps: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Express the object's two points relative to each grasp: float32, shape ``(K, 4)``."""
    reach = np.linalg.norm(grasps[:, 3:], axis=1)
    places = (seen[None, :, :2] - grasps[:, None, :2]) / reach[:, None, None]
    return places.reshape(len(grasps), 4)
