"""The learning rate rises, falls, and never reaches 0."""

from moss_perception.training.optimizing import set_learning_rate
import pytest
import torch


@pytest.mark.parametrize('progress, share', [(0, 0.001), (0.05, 0.5), (0.1, 1), (0.55, 0.5),
                                             (1, 0.001)])
def test_the_rate_rises_linearly_and_falls_as_half_a_cosine(progress, share):
    groups = [{'params': [torch.zeros(1, requires_grad=True)]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, 1.0)
    set_learning_rate(optimizer, 0.3, progress, warm_up=0.1)
    assert [group['lr'] for group in optimizer.param_groups] == pytest.approx([0.3 * share] * 2)


def test_without_a_rise_a_training_begins_at_the_highest_rate():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    set_learning_rate(optimizer, 0.3, 0, warm_up=0)
    assert optimizer.param_groups[0]['lr'] == 0.3
