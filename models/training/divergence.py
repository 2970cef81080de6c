"""The errors of training, without TensorFlow's import."""


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite."""
