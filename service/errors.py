"""Every error of our own, in one tree; ``service/api/app.py`` is the only place that maps them to HTTP."""


class ServiceError(Exception):
    """Base of this project's errors. Its message is written for the person who reads it."""


class ModelFolderError(ServiceError):
    """A model folder is incomplete or contradicts itself; the message says what to do."""


class CheckpointError(ServiceError):
    """A published checkpoint cannot be imported; the message says why and what to do."""


class SettingsError(ServiceError):
    """A setting is unknown, out of range or contradicts another one."""


class EngineStartError(ServiceError):
    """The vLLM engine did not start; the message says what is known of the cause."""


class EncoderNotReadyError(ServiceError):
    """The vision encoder is not started, failed its warm-up, or is shut down."""


class EncoderOverloadedError(ServiceError):
    """The encoder's bounded queue is full; the client should come back later."""


class FetchingOverloadedError(ServiceError):
    """Too many images are being fetched; the client should come back later."""


class EncodingError(ServiceError):
    """The vision encoder could not encode this image although its pixels are valid."""


class ImageError(ServiceError):
    """An image that a client sent cannot be used: the client's fault.

    Attributes:
        parameter: The request field that is wrong, in OpenAI's naming.
    """

    parameter = "image_url"


class ImageFormatError(ImageError):
    """The bytes are no image, or of a format that is not accepted, or truncated."""


class ImageTooLargeError(ImageError):
    """Too many bytes or too many pixels."""


class ImageSourceError(ImageError):
    """The address or data URI is malformed or not allowed."""


class ImageFetchError(ImageError):
    """The address does not answer with an image in time."""


class ImageEmbeddingsError(ImageError):
    """Embeddings in an image's place are not accepted, or not of the model's shape, or not numbers."""

    parameter = "image_embeds"


class NoSuchFileError(ImageError):
    """An id names no file of this owner: never uploaded, expired, or deleted."""


class UploadError(ServiceError):
    """A file that a client uploads cannot be kept: the client's fault.

    Attributes:
        parameter: The form field that is wrong.
    """

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class FileQuotaError(ServiceError):
    """An owner's files would be too many or too large together; deleting some helps."""


class StorageError(ServiceError):
    """The disk of the uploaded files cannot be used now."""


class StorageBusyError(ServiceError):
    """Too many files are being uploaded; the client should come back later."""


class StorageFullError(StorageError):
    """The disk of the uploaded files is full."""


class AlignmentError(ServiceError):
    """Training cannot start, go on or be saved; the message says why and what is still intact."""


class DatasetError(AlignmentError):
    """A data set cannot be used; the message names the file, and the line where there is one."""


class EvaluationError(ServiceError):
    """A running service cannot be evaluated: unreachable, or it refuses every question."""


class RemoteError(ServiceError):
    """Another service that a command asks fails, cannot be reached, or is no OpenAI-compatible API."""


class RequestRefusedError(RemoteError):
    """Another service finds fault with one request; the next one may succeed."""
