package app

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// Config is all that can be set of a worker. Each package owns its part. A field's variable is its path
// in capitals: Poll.MaxInterval is POLL_MAX_INTERVAL. Only LoadConfig fills in the defaults.
type Config struct {
	Anchor  anchor.Config `envconfig:"ANCHORBROWSER"`
	NATS    NATSConfig
	Request RequestConfig
	Result  publisher.ResultConfig
	Dead    publisher.DeadConfig
	Tracker tracker.Config
	consumer.Config
	Submit              admission.Config
	Task                TaskConfig
	OnUnknownSubmission string `split_words:"true" default:"fail" desc:"fail or resubmit, where it cannot be known whether the API accepted a task"`
	Poll                poller.Config
	Drain               DrainConfig
	Admin               admin.Config
	Log                 LogConfig
	Worker              WorkerConfig
}

// NATSConfig says where NATS is, who the worker is there, and whether it makes its streams. It prints
// without the user, password or token that the URL may hold.
type NATSConfig struct {
	URL          string        `split_words:"true" default:"nats://127.0.0.1:4222" desc:"servers, with commas between them"`
	CredsFile    string        `split_words:"true" desc:"log in with this credentials file"`
	NkeySeedFile string        `split_words:"true" desc:"log in with the NKey seed in this file"`
	User         string        `split_words:"true" desc:"log in as this user"`
	Password     anchor.Secret `split_words:"true" desc:"the user's password"`
	Token        anchor.Secret `split_words:"true" desc:"log in with this token"`
	TLS          TLSConfig
	InboxPrefix  string `split_words:"true" desc:"subjects of answers begin with it; default: _INBOX"`
	Provision    bool   `split_words:"true" default:"true" desc:"make and mend streams, consumer and buckets; false: only look for them"`
	Replicas     int    `split_words:"true" default:"1" desc:"copies of what is made, 1 to 5"`
}

// Format implements fmt.Formatter.
func (c NATSConfig) Format(f fmt.State, verb rune) {
	type plain NATSConfig // the same without this method
	c.URL = withoutLogin(c.URL)
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

// withoutLogin shows the hosts of NATS_URL. What cannot be read is not shown.
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

// parseServer reads one address as the NATS client does: a missing scheme is nats.
func parseServer(server string) (*url.URL, error) {
	server = strings.TrimSpace(server)
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	return url.Parse(server)
}

// TLSConfig names PEM files for the connection to NATS. Absent ones are not used.
type TLSConfig struct {
	CAFile   string `split_words:"true" desc:"trust servers with a certificate by these authorities (PEM)"`
	CertFile string `split_words:"true" desc:"the worker's certificate (PEM)"`
	KeyFile  string `split_words:"true" desc:"the key of the certificate (PEM)"`
}

// RequestConfig says where requests come from.
type RequestConfig struct {
	Stream  string `split_words:"true" default:"TASKS" desc:"stream of the requests"`
	Subject string `split_words:"true" default:"tasks.request" desc:"subject of the requests"`
}

// TaskConfig holds what a request may leave out.
type TaskConfig struct {
	Timeout time.Duration `split_words:"true" default:"1h" desc:"longest run of a task that names no timeout, from its submission"`
}

// DrainConfig bounds the end of a worker.
type DrainConfig struct {
	Timeout time.Duration `split_words:"true" default:"40s" desc:"longest stop; at least the request timeout and a second"`
}

// LogConfig says how much is logged, and in which form.
type LogConfig struct {
	Level  string `split_words:"true" default:"info" desc:"trace, debug, info, warn or error"`
	Format string `split_words:"true" default:"json" desc:"json, or console for people"`
}

// WorkerConfig names the worker. LoadConfig puts the host name where the name is empty.
type WorkerConfig struct {
	Name string `split_words:"true" desc:"shown in records, events and logs; default: the host name"`
}
