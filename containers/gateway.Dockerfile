# The gateway: Python, gRPC, no MindSpore. For linux/amd64 and linux/arm64; build from the repository's root:
#   docker build --file containers/gateway.Dockerfile --tag kandinsky-gateway:0.1.0 .
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY clients/python clients/python
COPY serving serving
COPY gateway gateway
COPY kandinsky kandinsky
COPY worker worker
COPY prior_server prior_server
COPY decoder_server decoder_server
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/kandinsky/venv \
    && /opt/kandinsky/venv/bin/pip install --constraint constraints.txt ".[tracing,shared-cache]"

FROM ${BASE_IMAGE}
COPY --from=build /opt/kandinsky/venv /opt/kandinsky/venv
# Nothing is written beside the code: the root file system is read-only.
ENV PATH=/opt/kandinsky/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 50050 50060 9464
ENTRYPOINT ["kandinsky-gateway"]
