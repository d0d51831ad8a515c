package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// purpose is the value of [jet.Mark] for the control bucket.
const purpose = "control"

// Stream returns the name of the stream behind the bucket (NATS ADR-8).
func (c Config) Stream() string { return jet.BucketStream(c.Bucket) }

// Subjects returns the subjects of all keys of the bucket (NATS ADR-8).
func (c Config) Subjects() string { return jet.BucketSubject(c.Bucket, ">") }

// Prepare opens the bucket, and creates it if it is missing. Workers that may not create it find it later. A failure is
// logged, as with every call. In a bucket of Capstan's that keeps values for ever, it has them expire.
func (b *Bucket) Prepare(ctx context.Context) {
	var found jetstream.StreamConfig
	err := b.call(ctx, reading, func(_ context.Context, stream jetstream.Stream) error {
		found = stream.CachedInfo().Config
		return nil
	})
	if err != nil || !b.Create || found.MaxAge != 0 || found.Metadata[jet.Mark] != purpose {
		return
	}
	found.MaxAge = b.TTL
	found.Duplicates = min(found.Duplicates, b.TTL) // NATS refuses a longer one
	err = b.callAside(ctx, updating, func(ctx context.Context) error {
		_, err := b.JetStream().UpdateStream(ctx, found)
		return err
	})
	if err != nil {
		b.log.Warn().Err(err).Str("bucket", b.cfg.Bucket).Msg("max age of control bucket not set, marks written without a TTL stay")
	}
}

// open returns the stream behind the bucket. One caller at a time opens it, and the others get what it found.
func (b *Bucket) open(ctx context.Context) (jetstream.Stream, error) {
	if stream, err := b.opened(); stream != nil || err != nil {
		return stream, err
	}
	select {
	case b.opening <- struct{}{}:
		defer func() { <-b.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if stream, err := b.opened(); stream != nil || err != nil {
		return stream, err
	}
	stream, err := b.find(ctx)
	if err = b.noted(ctx, opening, err); err != nil { // before the next caller has its turn
		return nil, fmt.Errorf("open: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stream = stream
	return stream, nil
}

// refusal says why a bucket that exists is not used.
type refusal string

// Error implements error.
func (r refusal) Error() string { return string(r) }

// find returns the stream behind the bucket, which it creates if that is missing. It does not change one that exists. The
// error is a refusal if the one that exists cannot be used.
func (b *Bucket) find(ctx context.Context) (jetstream.Stream, error) {
	js := b.JetStream()
	stream, err := js.Stream(ctx, b.cfg.Stream())
	if errors.Is(err, jetstream.ErrStreamNotFound) && b.Create {
		stream, err = js.CreateStream(ctx, b.cfg.stream(b.Replicas, b.TTL))
	}
	if err != nil {
		return nil, err
	}
	if why := b.cfg.Refusal(stream.CachedInfo().Config); why != "" {
		return nil, refusal(why)
	}
	return stream, nil
}

// stream is the configuration of a new bucket: that of a KV bucket with one value per key (NATS ADR-8), which its leader
// reads. Values expire by the message TTL with which workers write them, and by the stream's maximum age: operators can
// write without a TTL.
func (c Config) stream(replicas int, ttl time.Duration) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: c.Stream(), Subjects: []string{c.Subjects()}, Metadata: map[string]string{jet.Mark: purpose},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
		MaxAge: ttl,
	}
}

// Refusal says why a worker does not use the bucket behind a stream, or returns "". A bucket of another application looks
// like Capstan's, except that values can expire in few of them.
func (c Config) Refusal(s jetstream.StreamConfig) string {
	var wrong []string
	add := func(isWrong bool, text string) {
		if isWrong {
			wrong = append(wrong, text)
		}
	}
	owner := s.Metadata[jet.Mark]
	add(owner != "" && owner != purpose, fmt.Sprintf("metadata %s must be %s (got %s)", jet.Mark, purpose, owner))
	add(s.Retention != jetstream.LimitsPolicy, "retention must be limits")
	add(s.Mirror != nil || len(s.Sources) > 0, "it must have no mirror and no sources")
	add(!slices.Equal(s.Subjects, []string{c.Subjects()}) || s.SubjectTransform != nil, "its one subject must be "+c.Subjects())
	add(!s.AllowMsgTTL, "message TTL must be allowed")
	if len(wrong) > 0 && owner != purpose {
		return "belongs to another application and is left unchanged: " + strings.Join(wrong, ", ")
	}
	add(s.AllowDirect, "direct reads must be off (allow direct)")
	add(s.NoAck || s.Sealed, "it must accept and acknowledge messages")
	if len(wrong) > 0 {
		return "cannot be used: " + strings.Join(wrong, ", ")
	}
	return ""
}
