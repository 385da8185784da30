"""Figures on held-out samples say what they rest on."""

from moss_perception.evaluation.held_out import held_out_figures, undefined_reasons
from moss_perception.evaluation.metrics import brier, Scored, value_of
import numpy as np
import pytest


def scores(count, noise, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2 == 0
    logits = np.where(labels, 1.0, -1.0) + noise * generator.normal(size=count)
    return 1 / (1 + np.exp(-logits)), labels


def test_before_and_after_are_compared_on_the_same_samples():
    (before, labels), (after, _) = scores(60, 3.0), scores(60, 0.3)
    figures = {one.name: one for one in held_out_figures(before, after, labels, np.arange(60))}
    assert list(figures) == ['AUROC', 'Brier score', 'log loss']
    one = figures['Brier score']
    assert one.after.value == pytest.approx(value_of(brier, Scored.of(after, labels)))
    assert one.change.value == pytest.approx(one.after.value - one.before.value)
    assert one.change.low < one.change.high < 0
    assert figures['AUROC'].before.value < figures['AUROC'].after.value


def test_the_chosen_grasp_counts_where_several_are_labelled():
    after = np.array([0.9, 0.2, 0.4, 0.8, 0.7])
    labels, numbers = np.array([True, False, True, False, True]), np.array([0, 0, 1, 1, 2])
    chosen = held_out_figures(None, after, labels, numbers)[-1]
    assert chosen.name == 'success of the chosen grasp' and chosen.before is None
    # Of two samples with several labels, one ends with a success; Wilson's interval is wide.
    assert chosen.after.value == 0.5 and chosen.after.low < 0.1 and chosen.after.high > 0.9


def test_few_samples_are_not_certain():
    after, labels = scores(12, 0.01)
    figures = held_out_figures(None, after, labels, np.arange(12))
    assert figures[0].after.value == 1 and figures[0].after.low < 0.9
    few = held_out_figures(after[:4], after[:4], labels[:4], np.arange(4))
    assert not few[0].after.defined and np.isnan(few[1].after.low)
    assert [reason.split(':')[0] for reason in undefined_reasons(few)] == ['AUROC', 'Brier score']
