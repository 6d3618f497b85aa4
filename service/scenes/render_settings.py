"""How much rendered pictures vary."""

from dataclasses import dataclass, field

SIDE = 224
"""Side of a rendered picture in pixels; the encoder's input."""

SCALE = 2
"""Objects are drawn at this multiple of the final size; reducing it smooths the edges."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class RenderSettings:
    """Ranges and limits; each picture or object draws its values uniformly.

    Attributes:
        radius: Half the extent of an object in pixels, by size.
        jitter: Largest change of a colour channel, in levels.
        rotation: Largest rotation in degrees.
        noise: Largest standard deviation of pixel noise, in levels.
        blur: Largest radius of a box blur in pixels.
        jpeg: Range of JPEG qualities; half of the pictures are compressed.
        outline: Share of objects with a dark outline.
        gradient: Largest change in brightness across the background, in levels.
    """

    radius: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"small": (14.0, 20.0), "large": (27.0, 35.0)}
    )
    jitter: int = 16
    rotation: float = 12.0
    noise: float = 8.0
    blur: float = 0.9
    jpeg: tuple[int, int] = (35, 95)
    outline: float = 0.25
    gradient: float = 10.0


TRAINING_STYLE = RenderSettings()
SHIFTED_STYLE = RenderSettings(
    radius={"small": (13.0, 18.0), "large": (26.0, 32.0)},
    jitter=22,
    rotation=16.0,
    noise=13.0,
    blur=1.2,
    jpeg=(20, 50),
    outline=0.6,
    gradient=24.0,
)
"""The style of the second test set: noisier, blurrier, more tilted, more outlines, uneven light."""
