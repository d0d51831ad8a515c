// Package streams describes what a worker needs in NATS: how it connects, the rules on streams, consumer and buckets,
// how these are created and repaired, and which permissions a worker needs.
//
// The rules are tables, in the files that end in _rules.go. One walk over them, in provision.go, serves a worker that
// starts, a worker that runs, and capstan check.
package streams

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Config names all that a worker uses in NATS, and how it must be configured. Workers that share a queue
// should agree on the names and on the values of the consumer. It is not changed once it is in use, so
// goroutines may share it.
type Config struct {
	NATS     NATSConfig
	Requests Stream
	Results  Stream
	Dead     Stream
	Tracker  string // KV bucket of the records
	Large    string // object store of large results
	Control  string // KV bucket in which workers share what they learn; they can do without it
	Consumer string // durable pull consumer of Requests

	// TrackerTTL is how long a finished record is kept. The results stream should keep events for as long.
	TrackerTTL time.Duration

	// AckWait is the ack wait of the consumer: how long a worker may be silent before its requests are
	// redelivered.
	AckWait time.Duration

	// MaxAckPending bounds that of the consumer, the most requests in progress on all workers together. 0 is no bound:
	// the workers set it to what the plan runs at once.
	MaxAckPending int
}

// Stream is a stream, and the one of its subjects that a worker uses. The stream may have other subjects,
// too.
type Stream struct{ Name, Subject string }

// TrackerStream is the name of the stream behind the bucket of records (ADR-8).
func (c Config) TrackerStream() string { return jet.BucketStream(c.Tracker) }

// RecordSubject is the subject under which the bucket of records stores a key.
func (c Config) RecordSubject(key string) string { return jet.BucketSubject(c.Tracker, key) }

// RecordWriteSubject is the subject that a worker publishes to in order to write a key of the bucket of records. In a
// domain that is not the subject under which it is stored: a leaf node does not pass that one on to the hub.
func (c Config) RecordWriteSubject(key string) string {
	return jet.BucketWriteSubject(c.NATS.JSDomain, c.Tracker, key)
}

// LargeStream is the name of the stream behind the object store (ADR-20).
func (c Config) LargeStream() string { return "OBJ_" + c.Large }

// ControlStream is the name of the stream behind the bucket in which workers share what they learn (ADR-8).
func (c Config) ControlStream() string { return jet.BucketStream(c.Control) }

// ControlWriteSubject is the subject that a worker publishes to in order to write a key of the bucket in which workers
// share what they learn.
func (c Config) ControlWriteSubject(key string) string {
	return jet.BucketWriteSubject(c.NATS.JSDomain, c.Control, key)
}

// NATSConfig says where NATS is, how the worker logs in, and whether it creates its streams. It prints without the user,
// password or token that the URL may contain.
type NATSConfig struct {
	URL          string      `split_words:"true" default:"nats://127.0.0.1:4222" desc:"servers, separated by commas"`
	CredsFile    string      `split_words:"true" desc:"credentials file to log in with"`
	Creds        string      `split_words:"true" desc:"the same as NATS_CREDS_FILE, as the nats command names it"`
	NkeySeedFile string      `split_words:"true" desc:"file with the NKey seed to log in with"`
	User         string      `split_words:"true" desc:"user to log in as"`
	Password     task.Secret `split_words:"true" desc:"the user's password"`
	Token        task.Secret `split_words:"true" desc:"token to log in with"`
	TLS          TLSConfig
	InboxPrefix  string `split_words:"true" desc:"prefix of reply subjects; default: _INBOX"`
	JSDomain     string `split_words:"true" desc:"JetStream domain of the streams, for workers at a leaf node; default: the server's own"`
	Provision    bool   `split_words:"true" default:"true" desc:"create and repair streams, consumer and buckets; false: only verify"`
	Replicas     int    `split_words:"true" default:"1" desc:"replicas of the streams and buckets that a worker creates, 1 to 5"`
}

// credentials returns the name of the credentials file, which two variables can set, and the variable that does. NATS_CREDS
// is the name of the variable of the nats command.
func (c NATSConfig) credentials() (variable, file string) {
	if c.CredsFile == "" && c.Creds != "" {
		return "NATS_CREDS", c.Creds
	}
	return "NATS_CREDS_FILE", c.CredsFile
}

// Format implements fmt.Formatter, so that no verb prints the login of the URL. The other secrets hide
// themselves.
func (c NATSConfig) Format(f fmt.State, verb rune) {
	type plain NATSConfig // the same without this method
	c.URL = withoutLogin(c.URL)
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

// withoutLogin returns the servers of NATS_URL without users and passwords, or [redacted] if it cannot be parsed.
func withoutLogin(servers string) string {
	var shown []string
	for server := range strings.SplitSeq(servers, ",") {
		u, err := parseServer(server)
		if err != nil {
			return "[redacted]"
		}
		shown = append(shown, u.Scheme+"://"+u.Host)
	}
	return strings.Join(shown, ",")
}

// parseServer parses one address as the NATS client does: a missing scheme means nats.
func parseServer(server string) (*url.URL, error) {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// TLSConfig names PEM files for the connection to NATS. Those that are empty are not used.
type TLSConfig struct {
	CAFile   string `split_words:"true" desc:"certificate authorities to trust for the server (PEM)"`
	CertFile string `split_words:"true" desc:"the worker's certificate (PEM)"`
	KeyFile  string `split_words:"true" desc:"the key of the certificate (PEM)"`
}

// RequestConfig says where requests come from.
type RequestConfig struct {
	Stream  string `split_words:"true" default:"TASKS" desc:"stream of the requests"`
	Subject string `split_words:"true" default:"tasks.request" desc:"subject of the requests"`
}
