"""Domains: how scenes look and how the camera sees them."""

from dataclasses import dataclass

from moss_perception.errors import ConfigError


@dataclass(frozen=True)
class Domain:
    """
    What scenes of a domain have in common; each scene is drawn from these ranges.

    :ivar name: what recordings call it.
    :ivar belt_brightness: range of the belt's mean colour, 0 to 1.
    :ivar belt_contrast: range of its texture's contrast, 0 to 1.
    :ivar object_saturation: range of the object's colour saturation, 0 to 1.
    :ivar object_brightness: range of its colour value, 0 to 1.
    :ivar light: range of the lamp's strength.
    :ivar ambient: range of the light from everywhere.
    :ivar tint: largest change of one colour channel's gain.
    :ivar noise: range of the sensor noise's standard deviation, grey levels of 255.
    :ivar blur: range of the lens blur's standard deviation, pixels.
    :ivar jpeg_quality: of the compressed images, 1 to 100.
    :ivar camera_turn: largest rotation of the camera about the vertical, radians.
    :ivar camera_shift: largest displacement of the camera along each axis, metres.
    """

    name: str
    belt_brightness: tuple = (0.15, 0.5)
    belt_contrast: tuple = (0.02, 0.5)
    object_saturation: tuple = (0.3, 1.0)
    object_brightness: tuple = (0.4, 1.0)
    light: tuple = (0.45, 0.9)
    ambient: tuple = (0.2, 0.4)
    tint: float = 0.05
    noise: tuple = (1.0, 5.0)
    blur: tuple = (0.0, 0.4)
    jpeg_quality: int = 90
    camera_turn: float = 0.1
    camera_shift: float = 0.01


DOMAINS = {domain.name: domain for domain in (
    Domain('sim'),
    Domain('shifted', belt_brightness=(0.5, 0.85), belt_contrast=(0.05, 0.35),
           object_saturation=(0.0, 0.5), object_brightness=(0.1, 0.6), light=(0.15, 0.4),
           ambient=(0.1, 0.5), tint=0.25, noise=(6.0, 14.0), blur=(0.5, 1.0), jpeg_quality=70),
)}


def domain_named(name: str) -> Domain:
    """
    Look a domain up.

    :raises ConfigError: if there is no domain of that name.
    """
    if name not in DOMAINS:
        raise ConfigError(f'unknown domain {name!r}, expected one of {", ".join(DOMAINS)}')
    return DOMAINS[name]
