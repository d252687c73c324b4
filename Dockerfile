# syntax=docker/dockerfile:1

# The image of all six services: `docker compose build` makes it. How it is made without the network, and what else
# there is to know: docs/how-to/run-with-docker-compose.md.
ARG PYTHON_VERSION=3.13

# ---- what the services need of others, into /opt/energy-tracker
FROM python:${PYTHON_VERSION}-slim AS packages
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/energy-tracker
COPY requirements/build.txt requirements/base.txt requirements/
# Each package must have the hash that the lock file says, and comes as a wheel: no compiler is needed. Sources in C that
# some bring along would only be carried around.
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=docker/packages,target=/packages \
    if ls /packages/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/packages; fi \
 && pip install --require-hashes --only-binary=:all: --requirement requirements/build.txt \
 && pip --python /opt/energy-tracker/bin/python install --require-hashes --only-binary=:all: --requirement requirements/base.txt \
 && find /opt/energy-tracker/lib -name '*.c' -delete

# ---- the package itself, into /own/opt/energy-tracker: a layer of its own, so that a change of code is small
FROM packages AS package
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-index --no-build-isolation --no-deps --wheel-dir dist . \
 && pip --python /opt/energy-tracker/bin/python install --root /own --no-index --no-deps --no-compile dist/*.whl \
 && python -m compileall -q -s /own /own

# ---- what runs
FROM python:${PYTHON_VERSION}-slim
# Python's image brings the standard library without its bytecode, and a read-only container could never keep what it
# compiles at each start.
RUN python -m compileall -q -j 0 -x '/(test|idlelib|tkinter|turtledemo|ensurepip|site-packages|dist-packages)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/energy-tracker --shell /usr/sbin/nologin energy \
 && install --directory --owner=energy --group=energy --mode=0700 /var/lib/energy-tracker
COPY --from=packages /opt/energy-tracker /opt/energy-tracker
COPY --from=package /own/opt/energy-tracker /opt/energy-tracker
ENV PATH=/opt/energy-tracker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENERGY_TRACKER_HOME=/var/lib/energy-tracker
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Energy Tracker" \
      org.opencontainers.image.description="Collects the energy use of devices, loses no reading, invents no number, and explains what to do about it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /var/lib/energy-tracker
ENTRYPOINT ["energy-tracker"]
CMD ["--help"]
