"""The errors of this project, in one tree, grouped by whose fault they are.

A client sees the first four groups. ``service/plugin/errors.py`` holds the table that maps them to
HTTP: it turns each into one of vLLM's error classes, from which vLLM's routers make a response in
OpenAI's or Anthropic's shape. The commands print the last group.
"""


class ServiceError(Exception):
    """Base of all errors of this project. The message is for a client or an operator."""


# The client's fault: the same request will fail again.


class ClientError(ServiceError):
    """The request cannot be served as it is."""


class RequestError(ClientError):
    """The request does not have the form that its route expects.

    Attributes:
        parameter: The request field that is wrong, in OpenAI's naming; None where no field can be
            named.
    """

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class NotFoundError(ClientError):
    """The request names a model or a file that does not exist."""


class ForbiddenError(ClientError):
    """The request's API key may not do this."""


class ImageError(ClientError):
    """The service cannot use an image of the request.

    Attributes:
        parameter: The request field that is wrong, as OpenAI's API names it.
    """

    parameter = "image_url"


class ImageFormatError(ImageError):
    """The bytes are not an image, are damaged, or have a format that is not accepted."""


class ImageTooLargeError(ImageError):
    """The image has too many bytes or too many pixels."""

    @classmethod
    def over_bytes(cls, limit: int) -> "ImageTooLargeError":
        """Make the error for an image of more than ``limit`` bytes."""
        return cls(f"The image has more than {limit} bytes.")

    @classmethod
    def over_pixels(cls, limit: int) -> "ImageTooLargeError":
        """Make the error for an image of more than ``limit`` pixels."""
        return cls(f"The image has more than {limit} pixels.")


class ImageSourceError(ImageError):
    """The image's URL or data URI is malformed or not allowed."""


class ImageFetchError(ImageError):
    """The image's server did not send the image in time."""


class ImageEmbeddingsError(ImageError):
    """Embeddings in place of an image are not accepted, have a wrong shape, or are not finite."""

    parameter = "image_embeds"


class NoSuchFileError(ImageError):
    """The owner has no file with this id: it was never uploaded, has expired, or was deleted."""


class UploadError(ClientError):
    """The service cannot store an uploaded file.

    Attributes:
        parameter: The form field that is wrong.
    """

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class FileQuotaError(ClientError):
    """The owner's files would exceed the quota; deleting some files helps."""


class BatchQuotaError(ClientError):
    """The owner has too many unfinished batches; the client should try again later."""


# Overloaded: the same request may succeed later.


class OverloadedError(ServiceError):
    """A limit on concurrent work is reached; the client should try again later."""


class EncoderOverloadedError(OverloadedError):
    """The encoder's queue is full."""


class FetchingOverloadedError(OverloadedError):
    """Too many images are being fetched."""


class StorageBusyError(OverloadedError):
    """Too many files are being uploaded."""


# Not ready: another replica may serve the request.


class EncoderNotReadyError(ServiceError):
    """The vision encoder has not started, has failed, or is shut down."""


# The service's fault: the model or the disk.


class EncodingError(ServiceError):
    """The vision encoder failed on an image although its pixels are valid."""


class StorageError(ServiceError):
    """The disk of the uploaded files does not work."""


class StorageFullError(StorageError):
    """The disk of the uploaded files is full."""


# The operator's: a command stops and prints the message, which says what to do.


class SettingsError(ServiceError):
    """A setting is unknown, out of range, or contradicts another setting."""


class ModelFolderError(ServiceError):
    """A model folder is incomplete or contradicts itself."""


class AdapterError(ServiceError):
    """A LoRA adapter cannot be served: it is unreadable, or belongs to another language model."""


class ProjectionError(ServiceError):
    """A projection cannot be served by name: it is unreadable, or belongs to another model."""


class EngineStartError(ServiceError):
    """The vLLM engine did not start; the message gives the cause if it is known."""


class CheckpointError(ServiceError):
    """A published checkpoint cannot be imported."""


class AlignmentError(ServiceError):
    """Training cannot start, continue, or save; the message says which files are still intact."""


class DatasetError(AlignmentError):
    """A data set cannot be used; the message names the file and, if there is one, the line."""


class EvaluationError(ServiceError):
    """A running service cannot be evaluated: it is unreachable or refuses every question."""


class CaptioningError(ServiceError):
    """A folder of images cannot be captioned, or some of its images could not."""


class RemoteError(ServiceError):
    """Another service is unreachable, answered with an error, or is not OpenAI-compatible."""


class RequestRefusedError(RemoteError):
    """Another service refused one request; the next request may succeed."""
