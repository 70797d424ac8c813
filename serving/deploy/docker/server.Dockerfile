# h2rec's own servers: `h2rec serve` (also with ScaNN ops) and `h2rec retrieval serve`. Built from the repository's root.
FROM python:3.10-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONWARNINGS=ignore::FutureWarning \
    TF_CPP_MIN_LOG_LEVEL=3 \
    TF_USE_LEGACY_KERAS=1
RUN useradd --create-home --uid 10001 h2rec \
    && install --directory --owner 10001 /models /data
WORKDIR /opt/h2rec
# First the pins, which change seldom.
COPY requirements-server.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-server.lock
COPY setup.py pyproject.toml README.md ./
COPY h2rec_tf h2rec_tf
COPY tfx_pipeline tfx_pipeline
COPY serving serving
RUN pip install --no-cache-dir --no-deps .
USER 10001
WORKDIR /home/h2rec
EXPOSE 8500 8501
# The variables and the folder of TensorFlow Serving's image, in whose place this one can stand.
ENV MODEL_BASE_PATH=/models \
    MODEL_NAME=h2rec
# Inside a container only a public address can be reached; whoever publishes the port decides on TLS and tokens.
ENTRYPOINT ["h2rec"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8500", "--rest-port", "8501", "--insecure-public"]
