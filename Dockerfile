# The worker and the user's tool on an empty file system, for `make image`. What comes out depends on the
# sources, the version, SOURCE_DATE_EPOCH and the image below, from which Go and the certificates come: the same
# input makes the same digest. k8s/image.sh makes the first stage of the machine's own where no engine runs; then
# Go and the certificates are the machine's, and the digest is another one.
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
ARG VERSION=dev
ARG SOURCE_DATE_EPOCH=0
# One file is both commands, by the name it is called by. The demo, which brings a NATS server, stays out.
RUN CGO_ENABLED=0 go build -tags nodemo -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" \
      -o /image/capstan ./cmd/capstan && \
    ln -s capstan /image/worker && \
    install -D -m 644 -t /image/etc/ssl/certs/ /etc/ssl/certs/ca-certificates.crt && \
    find /image -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=build /image/ /
# Nobody: no user of that number exists on the node.
USER 65532:65532
ENTRYPOINT ["/worker"]
