# One image for every server-side command; docker-compose.yml names the command. Built from the wheel, so that what runs here is
# what is published.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY . .
ENV UV_PYTHON_DOWNLOADS=never
RUN uv sync --locked --only-group assets --no-install-project \
 && .venv/bin/python -m monitor.web.assets \
 && uv build --wheel \
 && uv export --locked --quiet --no-default-groups --no-emit-project --output-file dist/requirements.txt

FROM python:3.13-slim
RUN useradd --system --create-home suifang
COPY --from=build /src/dist /tmp/dist
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/dist/requirements.txt \
 && pip install --no-cache-dir --no-deps /tmp/dist/*.whl \
 && rm -rf /tmp/dist
USER suifang
WORKDIR /home/suifang
ENV PYTHONUNBUFFERED=1
# SIGINT drains: what is in hand is committed and acknowledged before the process ends
STOPSIGNAL SIGINT
