"""The instructions of the paper's second stage (Zhu et al. 2023, section 3.3)."""

STAGE2_INSTRUCTIONS = (
    "Describe this image in detail.",
    "Take a look at this image and describe what you notice.",
    "Please provide a detailed description of the picture.",
    "Could you describe the contents of this image for me?",
)
