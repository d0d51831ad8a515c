package streams

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
)

// How often a permission that is missing is logged, and how long after it was last missed the worker is not
// ready. What was denied is tried again sooner than that.
const (
	denialLogged = time.Minute
	denialLasts  = 90 * time.Second
)

// The operations that a server permits or not.
const (
	Publishing  = "publish"
	Subscribing = "subscribe"
)

// Violations are the permissions that NATS has denied. It says so beside the call, which just stays without an
// answer and is repeated: without this a worker would try for ever in silence.
type Violations struct {
	cfg   Config
	log   zerolog.Logger
	total *prometheus.CounterVec
	lost  chan struct{} // a subscription was denied

	mu   sync.Mutex
	seen map[denial]moments // guarded by mu; bounded by the grants and the subjects of none
}

// denial is one permission that was missing.
type denial struct{ operation, grant string }

// moments are when a permission was missed, and when that was last logged.
type moments struct{ missed, logged time.Time }

// NewViolations returns none so far.
func NewViolations(cfg Config, reg prometheus.Registerer, log zerolog.Logger) *Violations {
	d := &Violations{cfg: cfg, log: log, lost: make(chan struct{}, 1), seen: map[denial]moments{}}
	d.total = promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "capstan_nats_denied_total", Help: "Messages and subscriptions that NATS refused because a permission is missing.",
	}, []string{"operation"})
	for _, operation := range []string{Publishing, Subscribing} {
		d.total.WithLabelValues(operation)
	}
	return d
}

// Note takes an error that NATS reported and returns false where it is not about a permission.
func (d *Violations) Note(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	operation, subject := Violation(err)
	d.total.WithLabelValues(operation).Inc()
	if operation == Subscribing {
		select {
		case d.lost <- struct{}{}:
		default:
		}
	}
	what := denial{operation, d.cfg.Permission(operation, subject)}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.seen[what]
	at.missed = now
	if now.Sub(at.logged) >= denialLogged {
		at.logged = now
		d.log.Error().Str("operation", operation).Str("subject", subject).Str("grant", what.grant).
			Msg("NATS denied a permission, retrying")
	}
	d.seen[what] = at
	return true
}

// Violation reads the operation and the subject from the server's words, as in
//
//	Permissions Violation for Publish to "tasks.result"
//	Permissions Violation for Subscription to "_INBOX.x.*" (sid "2")
//	Permissions Violation for Publish with Reply of "x"
func Violation(err error) (operation, subject string) {
	operation = Publishing
	found := regexp.MustCompile(`for (Publish|Subscription)[^"]* "([^"]*)"`).FindStringSubmatch(err.Error())
	if found == nil {
		return operation, err.Error()
	}
	if found[1] == "Subscription" {
		operation = Subscribing
	}
	return operation, found[2]
}

// Ready is a readiness check.
func (d *Violations) Ready() (ok bool, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var latest denial
	for what, at := range d.seen {
		if time.Since(at.missed) > denialLasts {
			delete(d.seen, what)
		} else if latest.grant == "" || at.missed.After(d.seen[latest].missed) {
			latest = what
		}
	}
	if latest.grant == "" {
		return true, "ok"
	}
	return false, fmt.Sprintf("%d denied lately, grant: %s %s", len(d.seen), latest.operation, latest.grant)
}

// subscription reports whether a subscription was denied lately. The client does not ask for it again until
// it connects anew.
func (d *Violations) subscription() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for what, at := range d.seen {
		if what.operation == Subscribing && time.Since(at.missed) <= denialLasts {
			return true
		}
	}
	return false
}
