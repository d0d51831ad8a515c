package publisher

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// offload moves the result of an event, if there is one, to the object store, and leaves a reference to it.
// For a failed task this is the raw result, which the API sent. The object's name consists of a message id
// that belongs to the request, and of a hash of the content: two workers that have one request cannot
// overwrite what the other's event refers to.
func (p *Publisher) offload(ctx context.Context, d task.Delivery, ev *task.Event) error {
	result := ev.Result
	if result == nil {
		result = ev.RawResult
	}
	if result == nil {
		return nil
	}
	result = task.Portable(result)
	sum := sha256.Sum256(result)
	name := perRequestID(ev.TaskID, d) + "/" + hex.EncodeToString(sum[:8])
	info, err := p.put(ctx, name, result)
	if err != nil {
		return fmt.Errorf("store result: %w", err)
	}
	p.metrics.largeResults.Inc()
	ev.Result, ev.RawResult = nil, nil
	ev.ResultRef = &task.ResultRef{Bucket: p.cfg.Bucket, Name: name, Size: info.Size, Digest: info.Digest}
	return nil
}

const (
	// chunkSize is the object store's usual one, in bytes.
	chunkSize = 128 << 10

	// firstUpload is how long the first attempt to upload an object may take, and so what a lost answer costs. In case
	// the link is slow, the next attempt has twice the time, up to longestUpload.
	firstUpload   = 10 * time.Second
	longestUpload = 3 * time.Minute
)

// put uploads an object and verifies it. It waits for an upload slot first. It retries until the object is
// stored and intact, ctx ends, or the connection is closed.
func (p *Publisher) put(ctx context.Context, name string, data []byte) (*jetstream.ObjectInfo, error) {
	if err := p.uploads.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to upload: %w", err)
	}
	defer p.uploads.Release(1)
	timeout := firstUpload
	return jet.Retry(ctx, p.calls.object, func(ctx context.Context) (*jetstream.ObjectInfo, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		defer func() {
			// The attempt took too long, so the link may be slow.
			if ctx.Err() != nil {
				timeout = min(2*timeout, longestUpload)
			}
		}()
		return p.untilClosed(func() (*jetstream.ObjectInfo, error) { return p.upload(ctx, name, data) })
	})
}

// upload stores an object in chunks that fit into a message, and reads it back. It must be read back because nats.go 1.55
// retries a chunk that met no responder from a buffer that holds another chunk by then. If the object is there already, it
// stays: an event may refer to it.
func (p *Publisher) upload(ctx context.Context, name string, data []byte) (*jetstream.ObjectInfo, error) {
	if info, err := p.large.GetInfo(ctx, name); err == nil && p.isIntact(ctx, info, data) {
		return info, nil
	}
	// Half of max_payload leaves space for the headers of a chunk.
	size := uint32(min(max(p.nc.MaxPayload()/2, 1), chunkSize))
	meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: size}}
	info, err := p.large.Put(ctx, meta, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := p.readBack(ctx, name); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return info, nil
}

// isIntact reports whether an object that is stored has this content, and all of it. It leaves most of the attempt's time
// to an upload: if chunks of the object are lost, nats.go waits for them until the deadline.
func (p *Publisher) isIntact(ctx context.Context, info *jetstream.ObjectInfo, data []byte) bool {
	sum := sha256.Sum256(data)
	if info.Size != uint64(len(data)) || info.Digest != "SHA-256="+base64.URLEncoding.EncodeToString(sum[:]) {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/3)
		defer cancel()
	}
	return p.readBack(ctx, info.Name) == nil
}

// readBack reads an object and discards it. At its end the object store compares the digest.
func (p *Publisher) readBack(ctx context.Context, name string) error {
	object, err := p.large.Get(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, object)
	return errors.Join(err, object.Close())
}

// untilClosed waits for a call, but not after the connection is closed, so that a worker can stop. nats.go 1.55 itself
// waits for chunks on a closed connection, and if ctx is canceled, until its deadline.
func (p *Publisher) untilClosed(call func() (*jetstream.ObjectInfo, error)) (*jetstream.ObjectInfo, error) {
	closed := p.nc.StatusChanged(nats.CLOSED)
	defer p.nc.RemoveStatusListener(closed)
	type answer struct {
		info *jetstream.ObjectInfo
		err  error
	}
	answered := make(chan answer, 1)
	// It ends with the call's time-out, also if nothing waits for it any longer.
	go func() {
		info, err := call()
		answered <- answer{info, err}
	}()
	select {
	case a := <-answered:
		return a.info, a.err
	case <-closed:
		return nil, nats.ErrConnectionClosed
	}
}
