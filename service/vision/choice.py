"""The encoder that a configuration describes."""

from service.model_folder.vision_config import BackboneVisionConfig, VisionConfig
from service.vision.backbone import BackboneEncoder
from service.vision.model import VisionEncoder
from service.vision.projected_encoder import ProjectedEncoder


def make_encoder(config: VisionConfig) -> ProjectedEncoder:
    """Make an encoder with random weights: of a published family, or of a composed model."""
    if isinstance(config, BackboneVisionConfig):
        return BackboneEncoder(config)
    return VisionEncoder(config)
