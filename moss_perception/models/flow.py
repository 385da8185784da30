"""Optical flow of clips, by OpenCV's dense inverse search (DIS)."""

import cv2
import numpy as np
from torch import from_numpy, Tensor

# So that a motion of a few pixels is a number of about 1.
_UNIT_PIXELS = 4.0


def clip_flow(images: Tensor) -> Tensor:
    """
    Compute the flow that led to each frame from the one before.

    :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
    :returns: float32 on the images' device, shape ``(B, T, 2, S, S)``: right and down, in units
        of 4 pixels; 0 at the first frame.
    """
    pixels = images.cpu().numpy()
    flow = np.zeros((*pixels.shape[:2], 2, *pixels.shape[2:4]), np.float32)
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The images are small: go down to single pixels.
    search.setFinestScale(0)
    for clip, out in zip(pixels, flow, strict=True):
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
        for n in range(1, len(grey)):
            out[n] = search.calc(grey[n - 1], grey[n], None).transpose(2, 0, 1) / _UNIT_PIXELS
    return from_numpy(flow).to(images.device)
