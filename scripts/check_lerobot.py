"""
Load a data set of ``moss export-dataset`` with lerobot itself, frame by frame.

lerobot needs Python 3.12 and its own torch, so this is no test; scripts/lerobot.sh makes the
environment and the data sets every night. In an environment with ``lerobot[dataset]``:

    python3.12 scripts/check_lerobot.py my_lerobot
"""

import argparse
from pathlib import Path
import sys

from lerobot.datasets.lerobot_dataset import LeRobotDataset
import numpy as np

FEATURES = {'action': (4,), 'next.success': (), 'stamp_ns': (), 'grasp.count': ()}


def main() -> int:
    """Load a data set, print what it holds, and return the exit status."""
    parser = argparse.ArgumentParser(description='Load a data set with lerobot.')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--backend', default='pyav', choices=('pyav', 'torchcodec'))
    arguments = parser.parse_args()
    dataset = LeRobotDataset(f'local/{arguments.folder.name}', root=arguments.folder,
                             video_backend=arguments.backend)
    camera, = dataset.meta.camera_keys
    successes, lengths = {}, {}
    for item in (dataset[n] for n in range(len(dataset))):
        episode = int(item['episode_index'])
        height, width, _ = dataset.meta.features[camera]['shape']
        shapes = {name: tuple(item[name].shape) for name in FEATURES}
        assert shapes == FEATURES, f'{shapes}: expected {FEATURES}'
        assert tuple(item[camera].shape) == (3, height, width), item[camera].shape
        assert np.isfinite(item[camera].numpy()).all() and item[camera].std() > 0
        successes[episode] = successes.get(episode, False) or bool(item['next.success'])
        lengths[episode] = lengths.get(episode, 0) + 1
    assert len(lengths) == dataset.num_episodes and sum(lengths.values()) == dataset.num_frames
    windows = LeRobotDataset(f'local/{arguments.folder.name}', root=arguments.folder,
                             video_backend=arguments.backend,
                             delta_timestamps={camera: [-1 / dataset.fps, 0.0]})
    assert windows[len(windows) - 1][camera].shape[0] == 2
    print(f'{dataset.num_episodes} episodes, {dataset.num_frames} frames at {dataset.fps} per '
          f'second, {sum(successes.values())} successes; task of the first frame: '
          f'{dataset[0]["task"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
