package redrive

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

// bodyOf returns the request in a letter. One that was too large for a message is fetched from the object store. The error
// is an unfitError if the body was not kept.
func bodyOf(ctx context.Context, q operator.Queue, l letter) ([]byte, error) {
	switch {
	case l.header.Get(publisher.BodyHeader) != "":
		return nil, unfitError{NotKept, "it may have held secrets"}
	case l.isElsewhere():
		return fetch(ctx, q, l.header.Get(publisher.ObjectHeader))
	default:
		return l.body, nil
	}
}

// fetch reads an object of Capstan's own store. Anyone who may publish a letter can name an object. The error is an
// unfitError if the object is not there, or is damaged.
func fetch(ctx context.Context, q operator.Queue, object string) ([]byte, error) {
	bucket := q.Config.Result.Bucket
	name, ours := strings.CutPrefix(object, bucket+"/")
	if !ours || name == "" {
		return nil, unfitError{NotKept, fmt.Sprintf("%.80q is not in the object store %s", object, bucket)}
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
		return nil, unfitError{NotKept, fmt.Sprintf("%.80q of object store %s: %v", name, bucket, err)}
	default:
		return nil, fmt.Errorf("read %.80q of object store %s: %w", name, bucket, q.Explain(err))
	}
}

// headerOf returns the headers that the request of a letter had, without those that told NATS how to store it.
func headerOf(ctx context.Context, q operator.Queue, l letter) (nats.Header, error) {
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
	for name, values := range l.header {
		keep(name, values)
	}
	object := l.header.Get(publisher.HeadersHeader)
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
