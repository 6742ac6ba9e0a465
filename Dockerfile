# The explorer, for a CPU: `docker build -t circuit-sparsity .`, then
# `docker run -p 8501:8501 -v circuits:/cache circuit-sparsity`. Downloads and own results lie in /cache.
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir hatchling && python -m hatchling build -t wheel -d /dist

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 explorer && install -d -o explorer /cache /opt/explorer
USER explorer
ENV PATH=/opt/explorer/bin:$PATH CIRCUIT_SPARSITY_CACHE=/cache PYTHONUNBUFFERED=1
COPY --from=build --chown=explorer /dist /tmp/dist
COPY --chown=explorer requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/explorer \
    && pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        -r /tmp/requirements.txt \
    && pip install --no-cache-dir --no-deps /tmp/dist/*.whl \
    && python -m circuit_sparsity.runtime.warm_up
VOLUME /cache
EXPOSE 8501
HEALTHCHECK --start-period=30s CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"
ENTRYPOINT ["circuit-sparsity"]
CMD ["app", "--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true"]
