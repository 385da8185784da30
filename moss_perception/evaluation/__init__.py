"""
How good a predictor is: scores of recordings and scenes, compared with the outcomes.

``attempts`` finds the executed grasps, and ``matching`` their scores: those that ``replay``
computes (``parts`` reads ahead and splits), or those that a node published (``outputs``, read by
``recorded`` and checked by ``verification``). The results are ``records``, with ``findings`` for
the reader. ``metrics``, ``intervals``, ``early`` and ``reliability`` measure them, ``thresholds``
checks requirements, and ``report`` writes the page with its ``pictures``.
"""
