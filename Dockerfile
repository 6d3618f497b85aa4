# docker build --target cpu  -t minigpt4-service:cpu  .
# docker build --target cuda -t minigpt4-service:cuda .
#
# Both images run as user 10001. Their root file system can be read-only (docker run --read-only): the service
# writes only to /tmp and to /var/cache/minigpt4, its home folder. See docs/how-to/deploy-with-containers.md.
# For a reproducible build, give the base images by digest:
# --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
RUN pip install --no-cache-dir setuptools==78.1.1
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .

FROM ${PYTHON_IMAGE} AS cpu-environment
ARG TORCH=2.13.0+cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/minigpt4/bin:$PATH
RUN python -m venv /opt/minigpt4 \
    && pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" "torch==${TORCH}"
# The dependencies change less often than the service, so they have a layer of their own.
COPY requirements/cpu.txt /tmp/
RUN pip install --no-cache-dir --no-deps -r /tmp/cpu.txt
COPY --from=wheel /dist /dist
COPY deploy/check_requirements.py /tmp/
RUN pip install --no-cache-dir --no-deps /dist/*.whl \
    && python /tmp/check_requirements.py "minigpt4-service[cpu]" \
    && pip uninstall --yes pip

FROM ${PYTHON_IMAGE} AS cpu
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minigpt4-service" \
      org.opencontainers.image.description="MiniGPT-4 behind an OpenAI-compatible API, on a CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# vLLM's CPU kernels are linked against libnuma; without it the engine cannot start.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1=2.0.16-1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=cpu-environment /opt/minigpt4 /opt/minigpt4
RUN useradd --uid 10001 --home-dir /var/cache/minigpt4 --create-home --shell /usr/sbin/nologin minigpt4
ENV PATH=/opt/minigpt4/bin:$PATH HOME=/var/cache/minigpt4 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/cache/minigpt4
EXPOSE 8000
HEALTHCHECK --start-period=3m --interval=10s --timeout=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["minigpt4-service", "serve", "--host", "0.0.0.0", "--port", "8000"]

# vLLM's own image. Its torch, CUDA libraries and kernels stay unchanged, and it contains the compiler
# that Triton needs at run time.
FROM ${VLLM_IMAGE} AS cuda
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="minigpt4-service" \
      org.opencontainers.image.description="MiniGPT-4 behind an OpenAI-compatible API, on NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=wheel /dist /tmp/dist
COPY deploy/check_requirements.py /tmp/
RUN uv pip install --system --no-cache --no-deps /tmp/dist/*.whl \
    && python3 /tmp/check_requirements.py "minigpt4-service[cuda]" \
    && useradd --uid 10001 --home-dir /var/cache/minigpt4 --create-home --shell /usr/sbin/nologin minigpt4
ENV HOME=/var/cache/minigpt4 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/cache/minigpt4
EXPOSE 8000
HEALTHCHECK --start-period=20m --interval=10s --timeout=5s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["minigpt4-service", "serve", "--host", "0.0.0.0", "--port", "8000"]
