"""The errors of training, without TensorFlow's import."""


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite."""


class TooCostlyError(ValueError):
    """A network exceeds a limit on its cost, before it is trained."""
