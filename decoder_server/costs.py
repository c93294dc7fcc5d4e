"""What work costs on this device, from measured times: the base of every estimate the worker gives."""

# Weight of a new measurement in the running average.
_NEW = 0.2


class Costs:
    """Seconds of a UNet evaluation, by a running average of seconds per evaluation and pixel.

    The first run of a shape compiles its graph and is left out.
    """

    def __init__(self) -> None:
        self._seconds_per_pixel: float | None = None
        self._shapes: set[tuple[int, int, int]] = set()

    def record(self, evaluations: int, size_px: tuple[int, int], seconds: float) -> None:
        """Take in a measured step: so many evaluations of pictures of this working size."""
        width, height = size_px
        shape = (evaluations, width, height)
        if shape not in self._shapes:
            self._shapes.add(shape)
            return
        sample = seconds / (evaluations * width * height)
        known = self._seconds_per_pixel
        self._seconds_per_pixel = sample if known is None else known + _NEW * (sample - known)

    def step_seconds(self, evaluations: int, size_px: tuple[int, int]) -> float:
        """Expected seconds of a step; 0 while nothing is measured."""
        width, height = size_px
        return 0.0 if self._seconds_per_pixel is None else self._seconds_per_pixel * evaluations * width * height
