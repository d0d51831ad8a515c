package app

import (
	"time"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// Config is all that can be set of a worker. Each package owns its part. A field's variable is its path
// in capitals: Poll.MaxInterval is POLL_MAX_INTERVAL. Only LoadConfig fills in the defaults.
type Config struct {
	Anchor  anchor.Config `envconfig:"ANCHORBROWSER"`
	NATS    streams.NATSConfig
	Request streams.RequestConfig
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

// Streams returns what of the settings is about NATS.
func (c Config) Streams() streams.Config {
	return streams.Config{
		NATS:          c.NATS,
		Requests:      streams.Stream{Name: c.Request.Stream, Subject: c.Request.Subject},
		Results:       streams.Stream{Name: c.Result.Stream, Subject: c.Result.Subject},
		Dead:          streams.Stream{Name: c.Dead.Stream, Subject: c.Dead.Subject},
		Tracker:       c.Tracker.Bucket,
		Large:         c.Result.Bucket,
		Consumer:      c.Consumer,
		TrackerTTL:    c.Tracker.TTL,
		AckWait:       c.AckWait,
		MaxAckPending: c.MaxInFlightTotal,
	}
}
