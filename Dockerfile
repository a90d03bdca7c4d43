# The demo and the HTTP service, with the shipped checkpoints inside. It needs no network to run.
#
#   docker build --tag hindsight .                          # for the CPU
#   docker build --tag hindsight --build-arg DEVICE=cuda .  # for a GPU; run it with --gpus all
#   docker run --publish 7860:7860 hindsight
FROM python:3.11-slim

ARG DEVICE=cpu

ENV PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_OFFLINE=1 \
    MALLOC_ARENA_MAX=2

# A Space runs its containers as user 1000.
RUN useradd --create-home --uid 1000 hindsight

WORKDIR /app

COPY requirements.txt constraints.txt ./
COPY scripts/install_torch.sh scripts/
RUN scripts/install_torch.sh python "$DEVICE" && \
    pip install -qq --constraint constraints.txt --requirement requirements.txt

COPY app.py tasks.py hub.py large_imports.py ./
COPY models models
COPY pipelines pipelines
COPY demo demo
COPY serving serving
COPY checkpoints checkpoints
# Once here, not at every start.
RUN python -m compileall -q app.py tasks.py hub.py large_imports.py models pipelines demo serving

USER 1000
EXPOSE 7860

# The models are loaded after the port is open: /health answers early, /ready when they are warm.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/health', timeout=4)"]

CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
