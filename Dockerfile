FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/turnero
COPY requirements.lock ./
RUN /opt/turnero/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
RUN /opt/turnero/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/turnero --create-home --shell /usr/sbin/nologin turnero
COPY --from=build /opt/turnero /opt/turnero
ENV PATH=/opt/turnero/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TURNERO_ENVIRONMENT=production \
    TURNERO_HOST=0.0.0.0 \
    TURNERO_PORT=8000 \
    TURNERO_LOG_FORMAT=json \
    TURNERO_DATA_DIR=/var/lib/turnero
USER turnero
WORKDIR /var/lib/turnero
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"TURNERO_PORT\"]}/health/live', timeout=2)"]
ENTRYPOINT ["turnero"]
CMD ["api"]
