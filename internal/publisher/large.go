package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// offload puts the answer of an event into the object store and the object's name in its place, where there is an
// answer. Where there is both a result and what it was unwrapped from, the result is the answer; a failed task's
// is what the API sent.
func (p *Publisher) offload(ctx context.Context, m task.Delivery, ev *task.Event) error {
	answer := ev.Result
	if answer == nil {
		answer = ev.RawResult
	}
	if answer == nil {
		return nil
	}
	name := perRequestID(ev.TaskID, m)
	info, err := p.put(ctx, name, task.Portable(answer))
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

	// firstUpload is how long the first try to store an object may take. An answer that was lost on the way
	// costs no more than that; the next try has twice the time, up to longestUpload, in case the link is slow.
	firstUpload   = 10 * time.Second
	longestUpload = 3 * time.Minute
)

// put stores an object and looks whether it can be read. It waits while as many others are being stored as may be
// at once.
func (p *Publisher) put(ctx context.Context, name string, data []byte) (*jetstream.ObjectInfo, error) {
	if err := p.uploads.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to upload: %w", err)
	}
	defer p.uploads.Release(1)
	patience := firstUpload
	return jet.Retry(ctx, p.calls.object, func(ctx context.Context) (*jetstream.ObjectInfo, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		defer func() {
			if ctx.Err() != nil {
				patience = min(2*patience, longestUpload)
			}
		}()
		return p.whileConnected(func() (*jetstream.ObjectInfo, error) { return p.upload(ctx, name, data) })
	})
}

// upload stores an object, in chunks that the server takes, and reads it back: nats.go 1.55 sends a chunk that met
// no responder again from a buffer that holds another by then.
func (p *Publisher) upload(ctx context.Context, name string, data []byte) (*jetstream.ObjectInfo, error) {
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

// readBack reads an object and keeps nothing of it. At its end the object store compares the digest.
func (p *Publisher) readBack(ctx context.Context, name string) error {
	object, err := p.large.Get(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, object)
	return errors.Join(err, object.Close())
}

// whileConnected waits for a call until the connection is closed: a worker that has to go must not wait for it.
// nats.go 1.55 waits for chunks on a closed connection, and until the deadline where ctx was canceled.
func (p *Publisher) whileConnected(call func() (*jetstream.ObjectInfo, error)) (*jetstream.ObjectInfo, error) {
	closed := p.nc.StatusChanged(nats.CLOSED)
	defer p.nc.RemoveStatusListener(closed)
	type answer struct {
		info *jetstream.ObjectInfo
		err  error
	}
	answered := make(chan answer, 1)
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
