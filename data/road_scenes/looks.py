"""The two looks: how materials appear to a thermal and to a visible-light camera, and the sensor's traces."""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

from data.road_scenes.canvas import Color

LOOKS = ("thermal", "visible")

# material: (mean thermal grey level, its spread, visible-light colours to pick from)
_MATERIALS: dict[str, tuple[float, float, tuple[Color, ...]]] = {
    "asphalt": (96, 14, ((92, 93, 96), (104, 103, 102), (80, 82, 86), (116, 113, 110))),
    "lane_mark": (108, 8, ((222, 220, 212), (205, 204, 198), (218, 196, 110))),
    "pavement": (104, 14, ((158, 154, 148), (172, 165, 154), (146, 140, 136))),
    "verge": (80, 14, ((96, 118, 66), (112, 122, 74), (132, 120, 88), (84, 104, 60))),
    "hill": (66, 10, ((92, 112, 98), (104, 116, 120), (84, 100, 82))),
    "wall": (
        98,
        26,
        ((176, 160, 140), (150, 96, 80), (188, 184, 176), (130, 124, 120), (196, 178, 136), (112, 118, 128)),
    ),
    "roof": (70, 12, ((110, 70, 60), (86, 84, 88), (122, 98, 84))),
    "window_cold": (58, 14, ((62, 74, 88), (84, 98, 112), (48, 56, 66))),
    "window_warm": (158, 24, ((236, 206, 132), (246, 222, 164))),
    "leaves": (78, 14, ((58, 92, 48), (78, 108, 54), (96, 112, 52), (120, 96, 48), (48, 80, 52))),
    "bark": (92, 18, ((86, 68, 54), (104, 90, 76), (70, 60, 52))),
    "metal": (84, 34, ((120, 124, 128), (74, 78, 84), (150, 152, 150), (60, 84, 72))),
    "sign": (84, 24, ((196, 44, 40), (36, 84, 168), (238, 236, 230), (226, 188, 44))),
    "box": (
        92,
        32,
        ((52, 104, 72), (168, 116, 44), (124, 128, 132), (150, 52, 44), (60, 92, 140), (206, 200, 188)),
    ),
    "hot_spot": (212, 24, ((70, 68, 66), (84, 80, 76))),
    "lamp": (224, 18, ((250, 240, 206), (255, 226, 168))),
    "skin": (218, 14, ((226, 184, 156), (198, 150, 120), (148, 104, 78), (104, 72, 56))),
    "hair": (196, 18, ((52, 40, 34), (96, 70, 48), (150, 118, 76), (38, 36, 38), (140, 136, 132))),
    "shirt": (
        178,
        24,
        (
            (188, 44, 44),
            (44, 84, 164),
            (232, 228, 220),
            (40, 42, 48),
            (226, 180, 52),
            (62, 124, 82),
            (128, 74, 130),
            (234, 120, 44),
        ),
    ),
    "trousers": (166, 22, ((40, 48, 78), (46, 46, 50), (120, 106, 86), (84, 88, 96), (66, 50, 44))),
    "shoe": (120, 26, ((36, 34, 36), (224, 220, 214), (110, 78, 54))),
    "bag": (108, 24, ((60, 44, 38), (40, 44, 50), (150, 60, 48), (72, 88, 60))),
    "car_body": (
        104,
        30,
        (
            (176, 28, 32),
            (34, 66, 140),
            (228, 228, 226),
            (172, 176, 180),
            (40, 42, 46),
            (84, 92, 98),
            (206, 168, 50),
            (48, 98, 72),
        ),
    ),
    "glass": (46, 14, ((48, 58, 68), (64, 78, 90), (36, 42, 50))),
    "hood_hot": (186, 24, ((0, 0, 0),)),
    "tyre_cold": (72, 14, ((30, 30, 32), (38, 38, 40))),
    "tyre_hot": (204, 20, ((30, 30, 32), (38, 38, 40))),
    "rim": (118, 30, ((168, 170, 172), (120, 122, 126), (70, 72, 76))),
    "underbody": (128, 36, ((24, 24, 26), (32, 32, 34))),
    "grille": (190, 30, ((28, 28, 30), (48, 50, 54))),
    "plate": (110, 12, ((226, 226, 218), (222, 206, 120))),
    "head_light": (176, 30, ((236, 238, 232), (214, 220, 224))),
    "tail_light": (150, 24, ((186, 26, 28), (206, 40, 34))),
    "bike_frame": (
        54,
        16,
        ((188, 36, 40), (36, 78, 170), (34, 34, 36), (226, 226, 220), (48, 136, 84), (230, 150, 40)),
    ),
    "bike_tyre": (46, 14, ((28, 28, 30), (40, 38, 38))),
}


@dataclasses.dataclass(frozen=True)
class Light:
    """How a visible-light scene is lit: a gain per colour channel and whether lamps burn."""

    name: str
    gain: tuple[float, float, float]
    lamps_on: bool
    shadow: float  # 0 none .. 1 black
    sky: tuple[Color, Color]  # at the top of the image and at the horizon


_LIGHTS = (
    Light("sun", (1.06, 1.02, 0.94), False, 0.5, ((96, 150, 214), (196, 216, 230))),
    Light("overcast", (0.84, 0.86, 0.9), False, 0.22, ((168, 176, 186), (206, 208, 210))),
    Light("low_sun", (0.98, 0.8, 0.6), False, 0.42, ((110, 132, 178), (244, 196, 140))),
    Light("dusk", (0.5, 0.53, 0.64), True, 0.16, ((34, 42, 78), (150, 116, 116))),
)
_LIGHT_WEIGHTS = (0.36, 0.3, 0.16, 0.18)


class Palette:
    """Colours of one scene: draws a shade for each material, lit as the whole scene is."""

    def __init__(self, look: str, rng: np.random.Generator) -> None:
        self.thermal = look == "thermal"
        self._rng = rng
        self._light = _LIGHTS[int(rng.choice(len(_LIGHTS), p=_LIGHT_WEIGHTS))]
        # Ground and buildings heat up and cool down together; bodies and engines do not follow.
        self._ambient = float(rng.uniform(-26.0, 30.0))
        self._sky_grey = float(rng.uniform(8.0, 60.0))

    @property
    def lamps_on(self) -> bool:
        """Tells whether windows, street lamps and head lights shine."""
        return self.thermal or self._light.lamps_on

    @property
    def shadow(self) -> float:
        """Returns how dark a cast shadow is: 0 none to 1 black."""
        return 0.0 if self.thermal else self._light.shadow

    def sky(self) -> tuple[Color, Color]:
        """Returns the sky's colours at the top of the image and at the horizon."""
        if not self.thermal:
            return self._light.sky
        low = self._sky_grey + 26.0
        return _grey(self._sky_grey), _grey(low)

    def pick(self, material: str, glow: bool = False) -> Color:
        """Draws a colour for a material; `glow` keeps it from being dimmed with the scene (lamps)."""
        mean, spread, colors = _MATERIALS[material]
        wobble = float(self._rng.uniform(-1.0, 1.0))
        color = colors[int(self._rng.integers(len(colors)))]
        if self.thermal:
            follows = 1.0 if mean < 140.0 else 0.25
            return _grey(mean + spread * wobble + self._ambient * follows)
        brightness = 1.0 + 0.12 * wobble
        gain = (1.0, 1.0, 1.0) if glow and self._light.lamps_on else self._light.gain
        red, green, blue = (_byte(channel * brightness * g) for channel, g in zip(color, gain, strict=True))
        return red, green, blue

    def shade(self, color: Color, factor: float) -> Color:
        """Makes a colour lighter (factor above 1) or darker; a thermal camera sees less of it."""
        if self.thermal:
            factor = 1.0 + 0.4 * (factor - 1.0)
        red, green, blue = (_byte(channel * factor) for channel in color)
        return red, green, blue


def expose(image: Image.Image, look: str, rng: np.random.Generator) -> np.ndarray:
    """Adds what surfaces and sensor add: mottling, blur, vignette, gain, offset, fixed pattern and noise.

    Args:
        image: RGB, the clean scene at its final size.
        look: "thermal" or "visible".
        rng: the source of every draw.

    Returns:
        uint8 [H, W, 3]; the three channels are equal in the thermal look.
    """
    thermal = look == "thermal"
    if thermal:
        image = image.getchannel("R")
    blur_px = float(rng.uniform(0.0, 0.75 if thermal else 0.55)) * image.height / 128.0
    if blur_px > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(blur_px))
    pixels = np.asarray(image, dtype=np.float32)
    shading = _mottling(rng, image.size) * _vignette(rng, image.size)
    if thermal:
        grey = _expose_thermal(pixels * shading, rng)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return _expose_visible(pixels * shading[:, :, None], rng)


def _expose_thermal(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies gain, offset, column pattern and noise to float32 [H, W]; returns uint8 [H, W]."""
    gain, offset = float(rng.uniform(0.62, 1.15)), float(rng.uniform(-14.0, 34.0))
    columns = rng.standard_normal(grey.shape[1], dtype=np.float32) * np.float32(rng.uniform(0.3, 2.2))
    noise = rng.standard_normal(grey.shape, dtype=np.float32) * np.float32(rng.uniform(2.0, 7.0))
    grey = np.float32(gain) * grey + (columns + np.float32(offset + 110.0 * (1.0 - gain))) + noise
    return np.clip(grey, 0.0, 255.0).astype(np.uint8)


def _expose_visible(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies gain, offset, luminance and colour noise to float32 [H, W, 3]; returns uint8 of that shape."""
    gain, offset = np.float32(rng.uniform(0.9, 1.16)), np.float32(rng.uniform(-4.0, 16.0))
    height, width = pixels.shape[:2]
    luma = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(1.5, 6.0))
    chroma = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0.5, 2.5))
    noise = np.stack([luma + chroma, luma, luma - chroma], axis=2)
    return np.clip(gain * pixels + (noise + offset), 0.0, 255.0).astype(np.uint8)


def _mottling(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draws a factor around 1 with coarse and fine grain, float32 [H, W]; `size` is width and height."""
    fine = rng.standard_normal((40, 50), dtype=np.float32)
    coarse = rng.standard_normal((8, 10), dtype=np.float32).repeat(5, axis=0).repeat(5, axis=1)
    grain = Image.fromarray(1.0 + np.float32(0.022) * (fine + coarse))
    return np.asarray(grain.resize(size, Image.Resampling.BICUBIC))


def _vignette(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draws a factor that falls off towards the corners, float32 [H, W]; `size` is width and height."""
    down = np.linspace(-1.0, 1.0, size[1], dtype=np.float32)[:, None]
    across = np.linspace(-1.0, 1.0, size[0], dtype=np.float32)[None, :]
    return 1.0 - np.float32(rng.uniform(0.0, 0.16)) * (down**2 + across**2)


def _byte(value: float) -> int:
    return int(min(max(value, 0.0), 255.0))


def _grey(value: float) -> Color:
    level = _byte(value)
    return level, level, level
