"""Reading safetensors files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from service.errors import CheckpointError
from service.tensors.safetensors_format import read_safetensors


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="as safetensors"):
        read_safetensors(file)
