package jet

import "github.com/nats-io/nats.go/jetstream"

// API returns the subject of a call of JetStream's API, in a domain or, if that is "", in the server's own. call is the
// rest of the subject, such as "STREAM.INFO.TASKS".
func API(domain, call string) string {
	if domain != "" {
		return "$JS." + domain + ".API." + call
	}
	return "$JS.API." + call
}

// BucketStream returns the name of the stream behind a KV bucket (NATS ADR-8).
func BucketStream(bucket string) string { return "KV_" + bucket }

// BucketSubject returns the subject under which a KV bucket stores a key, and by which it is read (NATS ADR-8).
func BucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// BucketWriteSubject returns the subject to publish to in order to write a key of a KV bucket. A leaf node does not pass
// the key's own subject on to the hub: it would store the message itself if it has such a bucket. So a bucket in another
// domain is written to by a subject of that domain's API, from which the server there makes the key's own.
func BucketWriteSubject(domain, bucket, key string) string {
	if domain != "" {
		return API(domain, BucketSubject(bucket, key))
	}
	return BucketSubject(bucket, key)
}

// IsDeleted reports whether a message of a bucket is a delete marker: of a deleted or purged key (NATS ADR-8), or of an
// expired message if the stream has SubjectDeleteMarkerTTL (ADR-43).
func IsDeleted(msg *jetstream.RawStreamMsg) bool {
	return msg.Header.Get("KV-Operation") != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != ""
}
