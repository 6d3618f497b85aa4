"""``GET /v1/models`` and ``GET /v1/models/{id}``: the served models.

https://platform.openai.com/docs/api-reference/models, with additional fields that describe the
model's input.
"""

from typing import Any

from fastapi import APIRouter, Request

from service.api.model_access import may_use
from service.errors import NotFoundError
from service.model_folder.layout import ModelFolder
from service.settings import Settings
from service.vision.named_projections import Projections

FEATURES = (
    "chat",
    "responses",
    "messages",
    "completions",
    "streaming",
    "logprobs",
    "structured_outputs",
)


def models_router(
    folder: ModelFolder, settings: Settings, projections: Projections | None = None
) -> APIRouter:
    """The routes.

    Args:
        folder: The model folder that is served.
        settings: For the number of images in a request.
        projections: The projections that are served by name, if any.
    """
    facts = {
        "family": folder.index.family,
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "image": {
            "size": folder.index.image_size,
            "tokens": folder.index.visual_tokens,
            "per_request": settings.images_per_prompt,
        },
        "features": [*FEATURES, *(["boxes"] if folder.family.grounds else [])],
    }
    router = APIRouter(tags=["models"])

    async def read_cards(request: Request) -> list[dict[str, Any]]:
        listed = await request.app.state.openai_serving_models.show_available_models()
        # `root` is a path of this server.
        cards = [{**card.model_dump(), "root": card.id, **facts} for card in listed.data]
        known = {card["id"] for card in cards}
        names = projections.names if projections else []
        base = cards[0]
        cards += [
            {**base, "id": name, "root": name, "parent": base["id"]}
            for name in names
            if name not in known
        ]
        return [card for card in cards if may_use(card["id"])]

    @router.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """List the model, projections and LoRA adapters that the request's API key may use."""
        return {"object": "list", "data": await read_cards(request)}

    # A model's name may hold slashes.
    @router.get("/v1/models/{model:path}")
    async def retrieve_model(request: Request, model: str) -> dict[str, Any]:
        """One model."""
        cards = await read_cards(request)
        for card in cards:
            if card["id"] == model:
                return card
        there = f"; there is `{cards[0]['id']}`" if cards else ""
        raise NotFoundError(f"The model does not exist{there}.")

    return router
