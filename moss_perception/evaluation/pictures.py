"""Small pictures of frames, for pages."""

import cv2
import numpy as np

WIDEST = 320


def to_jpeg(image: np.ndarray) -> bytes:
    """
    Make a small picture.

    :param image: uint8, RGB, shape ``(H, W, 3)``; wider images are scaled to 320 pixels.
    :returns: a JPEG file, some 10 to 20 kB.
    """
    factor = WIDEST / image.shape[1]
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[:, :, ::-1]),
                           [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()
