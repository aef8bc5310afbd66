# Tidemark's one image: API, workers, beat, streams, Flower and the simulator differ by command.
# Pinned by tag. A digest pins harder; look it up where you build and write FROM …@sha256:….
FROM python:3.12.11-slim-bookworm AS build

WORKDIR /srv/tidemark
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The lock alone first: code changes more often than packages. Both steps check hashes.
COPY scripts/uv.txt /tmp/uv.txt
RUN python -m venv /opt/uv && \
    /opt/uv/bin/pip install --quiet --require-hashes --only-binary :all: -r /tmp/uv.txt
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --locked --no-default-groups --group ops --no-install-project --no-cache

FROM python:3.12.11-slim-bookworm

RUN groupadd --gid 10001 tidemark && \
    useradd --uid 10001 --gid tidemark --no-create-home --shell /usr/sbin/nologin tidemark && \
    install --directory --owner tidemark --group tidemark --mode 0700 \
        /var/lib/tidemark /var/lib/beat /run/tidemark && \
    install --directory --owner 999 --group 999 --mode 0700 /definitions
# /definitions is the broker's (uid 999): what fills it runs as that user.
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/tidemark
COPY app app
COPY config config
COPY deploy deploy
COPY migrations migrations
COPY simulator simulator
COPY tidemark tidemark
COPY workers workers
COPY alembic.ini LICENSE ./

# The code belongs to root and is not written to; data is, and lies in volumes.
USER tidemark:tidemark
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONPATH=/srv/tidemark PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 TIDEMARK_DATA_DIR=/var/lib/tidemark \
    TIDEMARK_HEARTBEAT_FILE=/run/tidemark/beat
STOPSIGNAL SIGTERM
# Of workers, beat and streams; the others bring their own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "workers.signs"]
CMD ["python", "-m", "app.cli.serve"]
