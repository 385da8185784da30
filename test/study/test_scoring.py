"""Networks that are compared share decoded images and the features of frozen stages."""

from moss_perception.models.base import build
from moss_perception.training.dataset import GraspClips
from moss_perception.training.trainer import predict
import pytest
from spots import scene, TINY
from tiny import as_model
import torch

from study.scoring import with_features


@pytest.mark.parametrize('temporal', ['moss', 'tsm', 'last'])
def test_features_score_as_the_images_do(temporal):
    config = as_model(TINY, f'{temporal}_grasp')
    torch.manual_seed(1)
    network = build(config).eval()
    items = GraspClips([scene(seed) for seed in range(12)], config)
    expected, outcomes = predict(network, items)
    logits, same = predict(network, with_features(items, network))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(outcomes, same)
