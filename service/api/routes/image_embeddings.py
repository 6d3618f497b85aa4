"""``POST /v1/image_embeddings``: compute an image's embeddings once, ask about it many times."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from service.api.routes.image_embeddings_body import answer_body
from service.api.routes.image_embeddings_schema import (
    ImageEmbeddingsRequest,
    ImageEmbeddingsResponse,
)
from service.embeddings.encode import encode_source
from service.errors import NotFoundError, RequestError
from service.settings import Settings


def embeddings_router(settings: Settings) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["image embeddings"])

    # The response's model is for the documentation only; a client that has disconnected gets no
    # response.
    @router.post(
        "/v1/image_embeddings",
        response_model=None,
        responses={200: {"model": ImageEmbeddingsResponse}},
    )
    @with_cancellation  # type: ignore[untyped-decorator]
    async def create_image_embeddings(
        request: ImageEmbeddingsRequest, raw_request: Request
    ) -> Response:
        """Return an image's projected embeddings, which take its place in the prompt."""
        models = raw_request.app.state.openai_serving_models
        if request.model and not models.is_base_model(request.model):
            raise NotFoundError(f"The model does not exist; there is `{models.model_name()}`.")
        if len(request.input) > settings.images_per_prompt:
            message = f"At most {settings.images_per_prompt} images are encoded at once."
            raise RequestError(message, "input")
        images = await asyncio.gather(*(encode_source(part.source) for part in request.input))
        body = await asyncio.to_thread(
            answer_body, models.model_name(), images, request.encoding_format
        )
        return Response(body, media_type="application/json")

    return router
