# The image of every pipeline step on Kubeflow Pipelines and Vertex AI, and of Vertex AI custom jobs.
# Some packages come as C or C++ sources only. The compiler stays behind in this stage.
FROM python:3.10-slim-bookworm AS wheels
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /wheels
COPY requirements-pipeline.lock ./
# An entry of the lock is a line with the pin and lines with its hashes.
RUN awk '/^[^ ]/ {wanted = /^(crcmod|pyfarmhash)==/} wanted' requirements-pipeline.lock > sources.txt \
    && pip wheel --no-cache-dir --no-deps --require-hashes -r sources.txt

FROM python:3.10-slim-bookworm
ENV PYTHONUNBUFFERED=1 \
    PYTHONWARNINGS=ignore::FutureWarning \
    TF_CPP_MIN_LOG_LEVEL=3 \
    TF_USE_LEGACY_KERAS=1
# The steps need no other right than to read the packages and to write below their own home and /tmp.
RUN useradd --create-home --uid 10001 h2rec
WORKDIR /opt/h2rec
# First the pins, which change seldom; pip compiles bytecode, without which imports take half a minute.
COPY --from=wheels /wheels/*.whl /opt/wheels/
COPY requirements-pipeline.lock ./
# The wheels made above have hashes of their own; pip takes them as installed and checks all others.
RUN pip install --no-cache-dir --no-deps /opt/wheels/*.whl \
    && pip install --no-cache-dir --no-deps --require-hashes -r requirements-pipeline.lock
COPY setup.py pyproject.toml README.md ./
COPY h2rec_tf h2rec_tf
COPY tfx_pipeline tfx_pipeline
COPY serving serving
RUN pip install --no-cache-dir --no-deps .
USER 10001
WORKDIR /home/h2rec
ENTRYPOINT ["python", "-m", "tfx_pipeline.runners.container"]
