"""Turn an image's source into its projected embeddings: read, decode, encode."""

import asyncio
from collections.abc import Mapping
from functools import partial
from hashlib import blake2b

from torch import Tensor

from service.embeddings.image_sizes import (
    NoteSize,
    find_size,
    is_size_wanted,
    keep_size,
    reserve_size,
)
from service.embeddings.url_revalidation import Key, url_memory
from service.embeddings.wire import NO_EMBEDDINGS, embeddings_digest, from_uri, is_embeddings_uri
from service.errors import EncoderNotReadyError, ImageEmbeddingsError
from service.files.record import FILE_PREFIX
from service.files.store import FileStore, StoreLimits
from service.images.decoding import decode_pixels
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import Fetched
from service.images.sources import read_if_changed
from service.observability.tracing import span
from service.request_context import current_request
from service.settings import Settings
from service.usage.amounts import Usage
from service.usage.recording import record
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.named_projections import Projection
from service.vision.shared import shared_projections, shared_runtime, shared_settings


async def encode_source(url: str, orientation: str | None = None) -> EncodedImage:
    """Return the embeddings of the image behind ``url``, by the projection that the request names.

    Runs on the event loop; disk access, decoding and encoding run on threads.

    Args:
        url: A data URI, an http(s) URL, the id of an uploaded file, or embeddings in the format of
            :mod:`service.embeddings.wire`.
        orientation: ``stored`` or ``exif``, instead of the request's and the setting's.

    Raises:
        ImageError, EncoderOverloadedError, EncoderNotReadyError, EncodingError, StorageError.
    """
    settings = shared_settings()
    salt = current_request().tenant if settings.isolate_keys else ""
    note_size = reserve_size()
    if is_embeddings_uri(url):
        return _read_embeddings(url, settings, salt)
    image = await _encode(url, orientation, settings, salt, note_size)
    if (projections := shared_projections()) is None:
        if settings.names_projections:  # plain `vllm serve` with the service's environment
            raise EncoderNotReadyError("Only `serve` applies projections by name.")
        return image
    wanted = current_request().projection
    projection = wanted if isinstance(wanted, Projection) else projections.base
    with span("image.project"):
        return await projections.project(image, projection)


async def _encode(
    url: str, orientation: str | None, settings: Settings, salt: str, note_size: NoteSize
) -> EncodedImage:
    """What the encoder gives: embeddings, or features where projections are served by name."""
    runtime = shared_runtime()
    wanted = orientation or current_request().orientation or settings.image_orientation
    upright = wanted == "exif"
    key = Key(url, f"{salt} upright" if upright else salt)
    memory = url_memory(settings.image_url_cache_seconds)
    known, conditions = await memory.recall(key, _find_cached)
    with span("image.fetch"):
        fetched = await _read_image(url, settings, conditions)
    if fetched is None:
        assert known is not None
        metrics.IMAGES.labels("cached").inc()
        note_size(find_size(known.digest))
        record(current_request().tenant, Usage(images=1))
        return known
    data, size, max_pixels = fetched.data, runtime.config.image_size, settings.image_max_pixels
    digest = content_digest(data, key.salt)

    def load_pixels() -> Tensor:
        return decode_pixels(
            data, size, max_pixels, upright=upright, on_size=partial(keep_size, digest)
        )

    with span("image.encode"):
        image = await runtime.encode(
            digest, load_pixels, background=current_request().is_background
        )
    if is_size_wanted():
        if find_size(digest) is None:  # the embeddings were cached for longer than the size
            await runtime.on_decoding_thread(load_pixels)
        note_size(find_size(digest))
    record(current_request().tenant, Usage(images=1, encoder_seconds=image.seconds))
    memory.remember(key, digest, fetched.conditions)
    return image


async def _find_cached(digest: str) -> EncodedImage | None:
    """Cached embeddings, unless the request asks for the image's size and only the image can tell it."""
    if is_size_wanted() and find_size(digest) is None:
        return None
    return await shared_runtime().find_cached(digest)


async def _read_image(
    url: str, settings: Settings, conditions: Mapping[str, str]
) -> Fetched | None:
    request = current_request()
    if url.startswith(FILE_PREFIX):
        store = FileStore(settings.files_root, StoreLimits.from_settings(settings))
        return Fetched(await asyncio.to_thread(store.read, request.tenant, url))
    # The lines of a key's batches share fetches apart from its other requests. No key's name has a space.
    slots = f"{request.tenant} batch" if request.is_background else request.tenant
    fetched = await read_if_changed(url, FetchPolicy.from_settings(settings), conditions, slots)
    if fetched is not None and url[:4].lower() == "http":  # others arrived with the request's body
        record(request.tenant, Usage(bytes_received=len(fetched.data)))
    return fetched


def _read_embeddings(url: str, settings: Settings, salt: str) -> EncodedImage:
    if not settings.image_embeddings_input:
        raise ImageEmbeddingsError(NO_EMBEDDINGS)
    config = shared_runtime().config
    embeddings = from_uri(url, (config.visual_tokens, config.hidden_size))
    return EncodedImage(embeddings_digest(embeddings, salt), embeddings)


def content_digest(data: bytes, salt: str = "") -> str:
    """Hash the bytes of an image file, cryptographically, so that clients cannot make collisions.

    Args:
        salt: Digests with different salts differ, so each salt has its own entries in all caches.
    """
    return blake2b(data, digest_size=32, key=blake2b(salt.encode()).digest()).hexdigest()
