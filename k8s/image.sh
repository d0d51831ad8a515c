#!/usr/bin/env bash
# Builds the image capstan:dev with Docker, or with the argument demo the image capstan:demo, which has the demo and the
# stub as well. If no engine runs, this machine builds the binary, and Debian's buildah the final stage; the image is then
# in bin/capstan.tar (bin/capstan-demo.tar) as well. Each file has the time of the last commit, so that the same input
# gives the same image. The digests of Docker and buildah differ: with buildah, Go and the certificates are this
# machine's, with Docker they are those of the golang image.
#
# buildah writes OCI's format, which has no health check, and says so. BUILDAH_FORMAT=docker keeps the health check; each
# such image has another digest.
#
# GO_IMAGE, if it is set, is the base image of the build, for example golang:1.26.8-trixie@sha256:….
set -euo pipefail
cd "$(dirname "$0")/.."

tag=capstan:dev archive=bin/capstan.tar target=()
case ${1:-} in
"") ;;
demo) tag=capstan:demo archive=bin/capstan-demo.tar target=(--target demo) ;;
*) echo "usage: image.sh [demo] (got \"$1\")" >&2; exit 2 ;;
esac
version=$(git describe --tags --always --dirty 2>/dev/null || echo dev)
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
arguments=(
  --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
  --build-arg "CREATED=$(date --utc --date "@$epoch" +%FT%TZ)"
)

if docker info >/dev/null 2>&1; then
  base=()
  case ${GO_IMAGE:-} in
  *@sha256:*) base=(--build-arg "GO_IMAGE=$GO_IMAGE") ;;
  "") echo "NOT PINNED  the base image is a tag: for an image that you publish, set GO_IMAGE (docs/operations.md#the-image)" >&2 ;;
  *) echo "GO_IMAGE is \"$GO_IMAGE\": give an image by digest, such as golang:1.26.8-trixie@sha256:…" >&2; exit 1 ;;
  esac
  # A provenance would contain the time of the build.
  docker buildx build --load --provenance=false --tag "$tag" "${target[@]}" "${base[@]}" "${arguments[@]}" \
    --build-arg "SOURCE_DATE_EPOCH=$epoch" .
  docker image inspect --format '{{.Id}}' "$tag"
  exit
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
CGO_ENABLED=0 go build -tags nodemo -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" \
  -o "$stage/image/capstan" ./cmd/capstan
chmod 755 "$stage/image/capstan"
ln -s capstan "$stage/image/worker"
GOFLAGS=-tags=nodemo go tool -modfile=tools/go.mod go-licenses save ./cmd/capstan \
  --ignore github.com/capstan-worker/capstan --save_path "$stage/image/licenses"
install -D -m 644 LICENSE "$stage/image/licenses/github.com/capstan-worker/capstan/LICENSE"
install -D -m 644 "$(go env GOROOT)/LICENSE" "$stage/image/licenses/go.dev/LICENSE"
install -D -m 644 internal/dashboard/static/htmx.LICENSE.txt "$stage/image/licenses/htmx.org/LICENSE"
install -D -m 644 /usr/share/doc/ca-certificates/copyright "$stage/image/licenses/ca-certificates/copyright"
chmod -R u=rwX,go=rX "$stage/image/licenses"
install -D -m 644 -t "$stage/image/etc/ssl/certs/" /etc/ssl/certs/ca-certificates.crt
if [ "$tag" = capstan:demo ]; then
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" \
    -o "$stage/image/capstan" ./cmd/capstan
  go tool -modfile=tools/go.mod go-licenses save ./cmd/capstan \
    --ignore github.com/capstan-worker/capstan --save_path "$stage/demo/licenses"
  chmod -R u=rwX,go=rX "$stage/demo/licenses"
  cp -r "$stage/demo/licenses/." "$stage/image/licenses/"
  install -d -m 1777 "$stage/image/tmp"
fi
export STORAGE_DRIVER=vfs
buildah build --isolation chroot --identity-label=false --timestamp "$epoch" "${arguments[@]}" \
  --build-context "build=$stage" --build-context "build-demo=$stage" --tag "$tag" "${target[@]}" .
mkdir -p bin
rm -f "$archive"
buildah push --digestfile "$stage/digest" "$tag" "docker-archive:$archive:$tag"
echo "$(cat "$stage/digest")  $archive"
