"""Evaluations drawn from a seeded generator, as a replay would give them."""

from moss_perception.evaluation.records import AttemptRecord, BagRecord, Evaluation
import numpy as np

PERIOD_NS = 100_000_000


def make_attempt(generator, number, start_ns, skill, offset, success=None):
    """Draw one attempt: 20 frames, the decision, and 1.6 s of a grasp that tells more and more."""
    success = bool(generator.random() < 0.45) if success is None else success
    decision_ns = start_ns + 19 * PERIOD_NS
    end_ns = decision_ns + (1_700_000_000 if success else int(generator.integers(7, 16)) * 10**8)
    times = np.arange(-4, (end_ns - decision_ns) // PERIOD_NS + 1) * PERIOD_NS / 1e9
    sign = 1 if success else -1
    walk = np.cumsum(generator.normal(0, 0.25, len(times)))
    logits = sign * skill * (1 + 0.9 * np.clip(times, -0.4, 1.4)) + walk + offset
    scores = 1 / (1 + np.exp(-(logits + generator.normal(0, 1.1))))
    at = int(np.flatnonzero(times == 0)[0])
    return AttemptRecord(
        number, start_ns, decision_ns, end_ns, success,
        ('still', 'constant', 'oscillating')[number % 3], ('box', 'lying_capsule')[number % 2],
        decision_ns, float(scores[at]), float(0.05 + 0.2 * generator.random()
                                              * (1 - abs(2 * scores[at] - 1))),
        float(generator.gamma(9, 0.065) + abs(offset)), 'executed', times, scores)


def make_bag(domain, count=60, seed=0, skill=1.6, offset=0.0, outcomes=None, **changes):
    """Draw a recording; ``outcomes`` sets the outcome of each attempt."""
    generator = np.random.default_rng([seed, sum(map(ord, domain))])
    attempts = tuple(make_attempt(
        generator, n, 10**15 + n * 5 * 10**9, skill, offset,
        None if outcomes is None else outcomes[n]) for n in range(count))
    samples = 36 * count
    values = {
        'path': f'samples/{domain}_{count}', 'domain': domain, 'image_topic': '/image/compressed',
        'duration_s': 5.0 * count, 'frames': samples, 'by_status': {
            'scored': samples - 16 * count, 'stored': 15 * count, 'skipped': count,
            'refused': 0}, 'refused': {}, 'missing': 0, 'resets': {'gap': count - 1},
        'elapsed_s': 0.2 * count, 'decode_ms': generator.gamma(8, 0.05, samples),
        'inference_ms': generator.gamma(20, 0.2, samples), 'attempts': attempts}
    return BagRecord(**{**values, **changes})


def make_evaluation(*bags, model='grasp_moss.safetensors', temperature=1.4):
    """Put recordings together."""
    return Evaluation(model, f'{sum(map(ord, model)):064x}', temperature, 'onnxruntime', 2,
                      'moss_grasp', '1,2,3', bags)


def draw_images(bag, stamps):
    """Draw a frame for each stamp: a disc that moves with time over a shaded ground."""
    rows, columns = np.mgrid[:128, :128]
    ground = np.stack([90 + rows / 2, 100 + columns / 3, 120 + (rows + columns) / 5], axis=2)
    found = {}
    for stamp in stamps:
        x = 20 + stamp / PERIOD_NS % 30 * 3
        image = ground.copy()
        image[(columns - x) ** 2 + (rows - 64) ** 2 < 300] = (200, 120, 60)
        found[stamp] = image.astype(np.uint8)
    return found
