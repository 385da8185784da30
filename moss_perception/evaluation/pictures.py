"""Thumbnails of frames, for the report."""

import cv2
import numpy as np

WIDEST = 320


def to_jpeg(image: np.ndarray) -> bytes:
    """
    Encode an image as a thumbnail.

    :param image: uint8, RGB, shape ``(H, W, 3)``; wider images are scaled to 320 pixels.
    :returns: a JPEG file of about 10 to 20 kB.
    """
    factor = WIDEST / image.shape[1]
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[:, :, ::-1]),
                           [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()
