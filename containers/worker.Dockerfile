# Prior worker, decoder worker and the download of weights. For linux/amd64 and linux/arm64, from the repository's root:
#   docker build --file containers/worker.Dockerfile --tag kandinsky-worker:0.1.0-cpu .
#   docker build --file containers/worker.Dockerfile --tag kandinsky-worker:0.1.0-cann \
#     --build-arg BASE_IMAGE=ascendai/cann:8.5.0-910b-openeuler24.03-py3.11 \
#     --build-arg CANN_PACKAGES="attrs cffi cloudpickle decorator ml-dtypes psutil pyyaml scipy sympy tornado" .
# The chip is in the base image's tag: one image for each kind of NPU.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# What the CANN toolkit's own Python code imports; nothing on a CPU.
ARG CANN_PACKAGES=""
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY clients/python clients/python
COPY serving serving
COPY gateway gateway
COPY kandinsky kandinsky
COPY worker worker
COPY prior_server prior_server
COPY decoder_server decoder_server
# hadolint ignore=SC2086 # CANN_PACKAGES is a list
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/kandinsky/venv \
    && /opt/kandinsky/venv/bin/pip install --constraint constraints.txt ".[worker,tracing]" ${CANN_PACKAGES}

FROM ${BASE_IMAGE}
# MindSpore's threads, and the compiler of the CPU's fast paths, which are built for the processor they run on. The CANN images have
# both.
# hadolint ignore=DL3008 # a pinned version is gone from Debian's archive with its next update
RUN if command -v apt-get; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends g++ libgomp1 \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=build /opt/kandinsky/venv /opt/kandinsky/venv
# For trials: `global.demo` of the chart, or --model /opt/kandinsky/demo/prior.
COPY demo/checkpoint /opt/kandinsky/demo
# Nothing is written beside the code: the root file system is read-only. Libraries ask for the user's name, and there is none, nor a home:
# what is downloaded and built on first use would go to /.cache.
ENV PATH=/opt/kandinsky/venv/bin:${PATH} \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=kandinsky
# MindSpore writes where it runs.
WORKDIR /tmp
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 50051 50052 50060 9464
CMD ["kandinsky-decoder", "--help"]
