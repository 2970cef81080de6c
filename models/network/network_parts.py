"""The parts of the network, told by the paths of its weights."""

BACKBONE, EXTRA_LEVELS, BOX_PREDICTOR = PARTS = ("backbone", "extra levels", "box predictor")
_PREFIXES = {"extra_": EXTRA_LEVELS, "fpn_": EXTRA_LEVELS, "head_": BOX_PREDICTOR}


def part(path: str) -> str:
    """Tells by a weight's path which of `PARTS` it belongs to."""
    return next((name for prefix, name in _PREFIXES.items() if path.startswith(prefix)), BACKBONE)
