package app

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/settings"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracing"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// Config holds all settings of a worker. Each package owns its part, with the rules for it. A field's variable is its
// path in capitals: Poll.MaxInterval is POLL_MAX_INTERVAL. Only the functions that load fill in the defaults.
type Config struct {
	// Each field is the prefix of its variables. The embedded one has none: MAX_IN_FLIGHT, and not CONSUMER_MAX_IN_FLIGHT.
	Anchor  anchor.Config `envconfig:"ANCHORBROWSER"`
	NATS    streams.NATSConfig
	Request streams.RequestConfig
	Result  publisher.ResultConfig
	Dead    publisher.DeadConfig
	Tracker tracker.Config
	Control control.Config
	Secrets SecretsConfig

	Sessions string `default:"off" desc:"on: each run of a task gets a browser session that the worker creates and ends"`
	Session  SessionConfig

	consumer.Config
	Submit              admission.Config
	Task                TaskConfig
	OnUnknownSubmission task.OnUnknown `split_words:"true" default:"fail" desc:"fail, resubmit once, or with SESSIONS=on fence, if it is unknown whether Anchor accepted a task"`
	Poll                poller.Config
	Drain               DrainConfig
	Admin               admin.Config
	Log                 LogConfig
	Worker              WorkerConfig
}

// TaskConfig holds the defaults of requests. A request that sets a value of its own overrides them.
type TaskConfig struct {
	Timeout time.Duration `split_words:"true" default:"1h" desc:"maximum run time of a task without a timeout of its own, from submission"`
}

// SessionConfig describes the sessions that Capstan creates.
type SessionConfig struct {
	LiveView string `split_words:"true" default:"off" desc:"on, only with SESSIONS=on: keep a link on the record that shows the browser while the task runs"`
}

// SecretsConfig says where the files are that requests name in secret_refs. Without a folder, a request that names one
// cannot be run here.
type SecretsConfig struct {
	Dir string `split_words:"true" desc:"folder with the files that secret_refs of requests name; read before each submission"`
}

// isUsable reports whether there is no folder, or one that can be opened.
func (c SecretsConfig) isUsable() bool {
	if c.Dir == "" {
		return true
	}
	root, err := os.OpenRoot(c.Dir)
	return err == nil && root.Close() == nil
}

// DrainConfig bounds the shutdown of a worker. It allows for one call to the API that is in progress when
// the worker is told to stop: a POST is not interrupted, because its outcome would then be unknown.
type DrainConfig struct {
	Timeout time.Duration `split_words:"true" default:"40s" desc:"maximum time for a graceful stop; at least the request timeout plus 1 s"`
}

// LogConfig says how much is logged, and in which form. See NewLogger.
type LogConfig struct {
	Level  string `split_words:"true" default:"info" desc:"trace, debug, info, warn or error"`
	Format string `split_words:"true" default:"json" desc:"json, or console for a terminal"`
}

// WorkerConfig names the worker. If the name is empty, the functions that load set it to the host name,
// which in Kubernetes is the name of the pod. Each worker should have a name of its own, or no record,
// event and log line tells them apart.
type WorkerConfig struct {
	Name string `split_words:"true" desc:"name used in records, events and logs; default: the host name"`
}

// Validate returns a line for each mistake: the variable, what it must be, and what it is. It reads the files that are
// named. It never shows a secret.
func (c Config) Validate() []string {
	return slices.Concat(
		c.Anchor.Validate(), c.Streams().Validate(), c.Config.Validate(), c.Submit.Validate(), c.Poll.Validate(),
		c.Dead.Validate(), c.Admin.Validate(), tracing.Validate(), c.ownMistakes(),
	)
}

// ownMistakes are those in the settings of this package, and in settings of two packages that must fit
// together. Neither of the two packages knows the other, so the rule stands here.
func (c Config) ownMistakes() []string {
	var mistakes settings.Mistakes
	mistakes.Require("TRACKER_TTL", c.Tracker.TTL, c.Tracker.TTL >= minAckWaits*c.AckWait,
		fmt.Sprintf("%d times ACK_WAIT or more, such as \"168h\", so that a redelivered request finds its record", minAckWaits))
	mistakes.Require("TASK_TIMEOUT", c.Task.Timeout, c.Task.Timeout > 0, `a duration above 0, such as "1h"`)
	mistakes.RequireOneOf("SESSIONS", c.Sessions, "off", "on")
	mistakes.RequireOneOf("SESSION_LIVE_VIEW", c.Session.LiveView, "off", "on")
	mistakes.Require("SESSION_LIVE_VIEW", c.Session.LiveView, c.Session.LiveView != "on" || c.Sessions == "on", "off without SESSIONS=on")
	mistakes.RequireOneOf("ON_UNKNOWN_SUBMISSION", string(c.OnUnknownSubmission), "fail", "resubmit", "fence")
	mistakes.Require("ON_UNKNOWN_SUBMISSION", c.OnUnknownSubmission, c.OnUnknownSubmission != task.Fence || c.Sessions == "on",
		"fail or resubmit without SESSIONS=on")
	mistakes.Require("SECRETS_DIR", c.Secrets.Dir, c.Secrets.isUsable(), "an existing folder that the worker may read")
	shortestDrain := c.Anchor.RequestTimeout + time.Second
	mistakes.Require("DRAIN_TIMEOUT", c.Drain.Timeout, c.Drain.Timeout >= shortestDrain,
		fmt.Sprintf("at least %v (ANCHORBROWSER_REQUEST_TIMEOUT + 1s)", shortestDrain))
	mistakes.RequireOneOf("LOG_LEVEL", c.Log.Level, "trace", "debug", "info", "warn", "error")
	mistakes.RequireOneOf("LOG_FORMAT", c.Log.Format, "json", "console")
	mistakes.Require("WORKER_NAME", c.Worker.Name, isPrintable(c.Worker.Name), "a name of printable characters, not blank")
	return mistakes
}

// minAckWaits is how often a request can be redelivered, at least, before its record may expire. A worker
// that finds no record takes the request for a new one.
const minAckWaits = 10

// isPrintable reports whether a name can be read in a log and in a table: it is not blank, and
// unicode.IsPrint accepts each character.
func isPrintable(s string) bool {
	return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Streams returns the settings of everything that a worker uses in NATS, which are spread over the parts of
// Config, in the form in which package streams checks and provisions it.
func (c Config) Streams() streams.Config {
	return streams.Config{
		NATS:          c.NATS,
		Requests:      streams.Stream{Name: c.Request.Stream, Subject: c.Request.Subject},
		Results:       streams.Stream{Name: c.Result.Stream, Subject: c.Result.Subject},
		Dead:          streams.Stream{Name: c.Dead.Stream, Subject: c.Dead.Subject},
		Tracker:       c.Tracker.Bucket,
		Large:         c.Result.Bucket,
		Control:       c.Control.Bucket,
		Consumer:      c.Consumer,
		TrackerTTL:    c.Tracker.TTL,
		AckWait:       c.AckWait,
		MaxAckPending: c.MaxInFlightTotal.Most(),
	}
}
