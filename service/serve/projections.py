"""Projections by name: loaded before the service is ready, and watched while it runs."""

import argparse
import asyncio
import logging

from service.model_folder.fingerprint import fingerprint
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.serve.banner import say
from service.settings import Settings
from service.vision import shared
from service.vision.encoder import choose_device, choose_dtype
from service.vision.named_projections import Projections
from service.vision.projection_loader import ProjectionLoader, read_base_projection

SCAN_SECONDS = 1.0
"""How often the watched folder is looked at."""

logger = logging.getLogger("service.serve")


def load_projections(
    folder: ModelFolder, settings: Settings, arguments: argparse.Namespace
) -> ProjectionLoader:
    """Load all projections and make them this process's; must run before the encoder starts.

    A bad file is refused with a line, and the others are served.

    Args:
        folder: The served model folder.
        settings: Name the files and the folder to watch.
        arguments: vLLM's; they name the base model.

    Raises:
        ProjectionError: the model folder's own projection cannot be read.
        ModelFolderError, CheckpointError: the model folder cannot be read.
    """
    names = arguments.served_model_name
    names = [names] if isinstance(names, str) else names
    config = load_vision_config(folder.vision)
    device = choose_device(settings.encoder_device)
    projections = Projections(
        read_base_projection(names[0], folder.root, config),
        config,
        device,
        choose_dtype(settings.encoder_dtype, device),
    )
    loader = ProjectionLoader(
        projections, config, fingerprint(folder), frozenset(names), settings.projections_dir
    )
    for line in [*loader.load_given(settings.projections), *loader.scan()]:
        say(f"  {line}")
    shared.set_projections(projections)
    return loader


async def watch(loader: ProjectionLoader) -> None:
    """Keep the served projections equal to the watched folder, until cancelled."""
    while True:
        await asyncio.sleep(SCAN_SECONDS)
        try:
            lines = await asyncio.to_thread(loader.scan)
        except Exception:
            logger.exception("The folder of projections could not be scanned.")
            continue
        for line in lines:
            say(line)
