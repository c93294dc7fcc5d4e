"""The errors of the model library: one tree, told to the reader in one line each.

Every message says what was wrong, what is allowed and what to do. The servers map the classes to gRPC status codes;
nothing here knows about gRPC.
"""


class KandinskyError(Exception):
    """Root of everything this library raises on purpose."""


class InputError(KandinskyError):
    """A caller's value is outside what is allowed.

    Attributes:
        field: name of the offending argument.
        description: what is wrong with it and what is allowed.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.description = message


class NonFiniteError(KandinskyError):
    """A network produced NaN or infinity; the result must not be shown as a picture."""


class CheckpointError(KandinskyError):
    """A checkpoint cannot be used. The subclasses say why."""


class ModelNotFoundError(CheckpointError):
    """Neither a local folder nor a repository that can be reached or is cached."""


class MissingFileError(CheckpointError):
    """A component's folder, config or weights are not there."""


class PickleRefusedError(CheckpointError):
    """The weights exist only in a pickle format (.bin, .pt, .ckpt), which runs code when read."""


class CorruptFileError(CheckpointError):
    """A file is truncated or is not what its name says."""


class ComponentClassError(CheckpointError):
    """A component is of another class than the pipeline needs."""


class ConfigError(CheckpointError):
    """A config value that this code does not support; names the key and the value."""


class TensorMismatchError(CheckpointError):
    """Tensors are missing, unexpected, or of another shape than the config says."""


class NonFiniteWeightsError(CheckpointError):
    """Weights hold NaN or infinity."""


class DeviceError(KandinskyError):
    """The asked device or dtype is not available on this machine."""
