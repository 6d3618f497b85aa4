"""Two-stage alignment: everything frozen, only the projection learns (Zhu et al. 2023, section 3).

Reads as a training run goes: presets, data, formats, model, trainer. Nothing here knows HTTP or vLLM.
"""
