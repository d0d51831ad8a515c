package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
)

// NotKeptError says why the request of a letter is not stored.
type NotKeptError struct{ Why string }

// Error implements error.
func (e NotKeptError) Error() string { return "its body was not kept: " + e.Why }

// Request returns the request in a letter. One that was too large for a message is fetched from the object store. The error
// is a NotKeptError if the request is not stored.
func (l Letter) Request(ctx context.Context, q operator.Queue) ([]byte, error) {
	switch {
	case l.Header.Get(publisher.BodyHeader) != "":
		return nil, NotKeptError{"it may have held secrets"}
	case l.IsElsewhere():
		return fetch(ctx, q, l.Header.Get(publisher.ObjectHeader))
	default:
		return l.Body, nil
	}
}

// fetch reads an object of Capstan's own store. Anyone who may publish a letter can name an object. The error is a
// NotKeptError if the object is not there, or is damaged.
func fetch(ctx context.Context, q operator.Queue, object string) ([]byte, error) {
	bucket := q.Config.Result.Bucket
	name, ours := strings.CutPrefix(object, bucket+"/")
	if !ours || name == "" {
		return nil, NotKeptError{fmt.Sprintf("%.80q is not in the object store %s", object, bucket)}
	}
	var data []byte
	store, err := q.JS.ObjectStore(ctx, bucket)
	if err == nil {
		data, err = store.GetBytes(ctx, name)
	}
	isLost := func(why error) bool { return errors.Is(err, why) }
	switch {
	case err == nil:
		return data, nil
	case slices.ContainsFunc([]error{jetstream.ErrBucketNotFound, jetstream.ErrObjectNotFound, jetstream.ErrBadObjectMeta, jetstream.ErrDigestMismatch}, isLost):
		return nil, NotKeptError{fmt.Sprintf("%.80q of object store %s: %v", name, bucket, err)}
	default:
		return nil, fmt.Errorf("read %.80q of object store %s: %w", name, bucket, q.Explain(err))
	}
}

// RequestHeader returns the headers that the request of a letter had, without those that told NATS how to store it.
func (l Letter) RequestHeader(ctx context.Context, q operator.Queue) (nats.Header, error) {
	kept := nats.Header{}
	keep := func(name string, values []string) {
		if original, ok := strings.CutPrefix(name, publisher.OriginalPrefix); ok {
			name = original
		} else if hasPrefix(name, "Capstan-") {
			return
		}
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	for name, values := range l.Header {
		keep(name, values)
	}
	object := l.Header.Get(publisher.HeadersHeader)
	if object == "" {
		return kept, nil
	}
	text, err := fetch(ctx, q, object)
	if err != nil {
		return nil, err
	}
	var original map[string][]string
	if err := json.Unmarshal(text, &original); err != nil {
		return nil, fmt.Errorf("read the headers in %.80q: %w", object, err)
	}
	for name, values := range original {
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	return kept, nil
}

// hasPrefix reports whether a header's name has a prefix, in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
