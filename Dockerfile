# The worker and the user's tool on an empty file system, for `make image`. What comes out depends on the
# sources, the arguments and the base image, from which Go and the certificates come: the same input makes
# the same digest. k8s/image.sh makes the first stage on the machine itself where no engine runs; then
# Go and the certificates are the machine's, and the digest is another one.
#
# The base image is a tag, which can be moved. For an image that you publish, pin it by its digest:
#   GO_IMAGE=golang:1.26.8-trixie@sha256:… make image
ARG GO_IMAGE=golang:1.26.8-trixie
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY LICENSE ./
COPY tools tools
COPY cmd cmd
COPY internal internal
ARG VERSION=dev
ARG SOURCE_DATE_EPOCH=0
# One file is both commands, by the name it is called by. The demo, which brings a NATS server, stays out. Beside it
# are the licenses of all that is linked into it.
RUN CGO_ENABLED=0 go build -tags nodemo -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" \
      -o /image/capstan ./cmd/capstan && \
    ln -s capstan /image/worker && \
    GOFLAGS=-tags=nodemo go tool -modfile=tools/go.mod go-licenses save ./cmd/capstan \
      --ignore github.com/capstan-worker/capstan --save_path /image/licenses && \
    install -D -m 644 LICENSE /image/licenses/github.com/capstan-worker/capstan/LICENSE && \
    install -D -m 644 "$(go env GOROOT)/LICENSE" /image/licenses/go.dev/LICENSE && \
    install -D -m 644 internal/dashboard/static/htmx.LICENSE.txt /image/licenses/htmx.org/LICENSE && \
    install -D -m 644 /usr/share/doc/ca-certificates/copyright /image/licenses/ca-certificates/copyright && \
    chmod -R u=rwX,go=rX /image/licenses && \
    install -D -m 644 -t /image/etc/ssl/certs/ /etc/ssl/certs/ca-certificates.crt && \
    find /image -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# The demo and the stub for tests come on top, with the licenses of what they link.
FROM build AS build-demo
ARG VERSION=dev
ARG SOURCE_DATE_EPOCH=0
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" \
      -o /image/capstan ./cmd/capstan && \
    go tool -modfile=tools/go.mod go-licenses save ./cmd/capstan \
      --ignore github.com/capstan-worker/capstan --save_path /demo/licenses && \
    chmod -R u=rwX,go=rX /demo/licenses && cp -r /demo/licenses/. /image/licenses/ && \
    install -d -m 1777 /image/tmp && \
    find /image -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch AS image
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
# No base.name and base.digest: an image from scratch has no base.
LABEL org.opencontainers.image.title="Capstan" \
      org.opencontainers.image.description="Runs AI browser tasks on Anchor Browser from a NATS JetStream queue" \
      org.opencontainers.image.source="https://github.com/capstan-worker/capstan" \
      org.opencontainers.image.documentation="https://github.com/capstan-worker/capstan/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
# Nobody: no user of that number exists on the node.
USER 65532:65532
# Alive, and not ready: Swarm replaces an unhealthy container, and that brings neither NATS nor a permission back. A minute,
# as the liveness probe in k8s/base.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=6 CMD ["/capstan", "check", "--live"]
# `docker run IMAGE capstan check` runs the tool: the worker's file is the tool as well.
ENTRYPOINT ["/worker"]

# To try Capstan and to test against it: --target demo. It has a NATS server and the stub, and a folder for temporary files.
FROM image AS demo
COPY --from=build-demo /image/ /

# The image for production, which is built by default.
FROM image
COPY --from=build /image/ /
