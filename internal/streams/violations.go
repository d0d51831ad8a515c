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

// violationLogInterval is the least time between two log lines about one missing permission. The worker is not ready
// until violationLasts after it last missed one; it retries what was denied sooner than that.
const (
	violationLogInterval = time.Minute
	violationLasts       = 90 * time.Second
)

// operation is what a server permits or not, as a label of the metric.
type operation string

const (
	publish   operation = "publish"
	subscribe operation = "subscribe"
)

// PermissionViolations keeps the permissions that the worker's login lacks. NATS reports a violation apart
// from the call, which gets no answer and is retried: without this type a worker would retry forever, and
// no log line would say why. Its methods may be called by many goroutines at once.
type PermissionViolations struct {
	cfg   Config
	log   zerolog.Logger
	total *prometheus.CounterVec

	// subscriptionDenied receives after a violation by a subscription. It has room for one value, so that
	// Note, which the NATS client calls, never waits.
	subscriptionDenied chan struct{}

	mu sync.Mutex

	// recent is guarded by mu. Its size is bounded by the number of permissions that a worker uses, since
	// a permission has wildcards for the parts that differ between tasks, and one entry stands for all replies. Ready
	// removes what is too old.
	recent map[permission]violationTimes
}

// permission is what a login lacks.
type permission struct {
	operation operation
	subject   string // may have wildcards
}

// String says what is missing and what to grant.
func (p permission) String() string {
	return fmt.Sprintf("missing permission: %s to %q", p.operation, p.subject)
}

// violationTimes are when a permission was last missed, and when that was last logged.
type violationTimes struct{ last, logged time.Time }

// NewPermissionViolations returns a PermissionViolations without any.
func NewPermissionViolations(cfg Config, reg prometheus.Registerer, log zerolog.Logger) *PermissionViolations {
	v := &PermissionViolations{cfg: cfg, log: log, subscriptionDenied: make(chan struct{}, 1), recent: map[permission]violationTimes{}}
	v.total = promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "capstan_nats_permission_violations_total",
		Help: "Messages and subscriptions that NATS refused because the worker's login lacks a permission.",
	}, []string{"operation"})
	for _, o := range []operation{publish, subscribe} {
		v.total.WithLabelValues(string(o))
	}
	return v
}

// Note takes an error that NATS reported: it counts it and, at most once a minute for each permission, logs it. It returns
// false if the error is not a permission violation. It fits Connect's parameter report.
func (v *PermissionViolations) Note(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	o, subject := parseViolation(err)
	v.total.WithLabelValues(string(o)).Inc()
	missing, isKnown := v.cfg.permission(o, subject)
	if o == publish && !isKnown { // all else that a worker publishes to are replies
		missing.subject = replies
	}
	if o == subscribe && !v.cfg.isOptional(missing) {
		select {
		case v.subscriptionDenied <- struct{}{}:
		default:
		}
	}
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	times := v.recent[missing]
	times.last = now
	if now.Sub(times.logged) >= violationLogInterval {
		times.logged = now
		level := zerolog.ErrorLevel
		if v.cfg.isOptional(missing) {
			level = zerolog.WarnLevel
		}
		v.log.WithLevel(level).Str("operation", string(o)).Str("subject", subject).Str("permission", missing.subject).
			Msg("NATS reported permission violation, retrying")
	}
	v.recent[missing] = times
	return true
}

// MissingPermission names the permission whose lack caused a permission violation, as in
//
//	missing permission: publish to "$KV.task_tracker.>"
func (c Config) MissingPermission(violation error) string {
	missing, _ := c.permission(parseViolation(violation))
	return missing.String()
}

// parseViolation reads the operation and the subject from the server's words, as in
//
//	Permissions Violation for Publish to "tasks.result"
//	Permissions Violation for Subscription to "_INBOX.x.*" (sid "2")
//	Permissions Violation for Publish with Reply of "x"
func parseViolation(err error) (operation, string) {
	found := regexp.MustCompile(`for (Publish|Subscription)[^"]* "([^"]*)"`).FindStringSubmatch(err.Error())
	switch {
	case found == nil:
		return publish, err.Error()
	case found[1] == "Subscription":
		return subscribe, found[2]
	default:
		return publish, found[2]
	}
}

// Ready is a readiness check. It names the permission that was missed last, of those that a worker cannot do without. A
// permission counts as missing for 90 seconds after the last violation: NATS does not report that it was granted.
func (v *PermissionViolations) Ready() (ok bool, detail string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var latest permission
	needed := 0
	for missing, times := range v.recent {
		switch {
		case time.Since(times.last) > violationLasts:
			delete(v.recent, missing)
		case v.cfg.isOptional(missing):
		default:
			needed++
			if latest.subject == "" || times.last.After(v.recent[latest].last) {
				latest = missing
			}
		}
	}
	switch needed {
	case 0:
		return true, "ok"
	case 1:
		return false, latest.String()
	default:
		return false, fmt.Sprintf("%v (and %d more)", latest, needed-1)
	}
}

// ofSubscription reports whether a subscription was denied lately that a worker cannot do without. The client does not
// retry it until it reconnects.
func (v *PermissionViolations) ofSubscription() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for missing, times := range v.recent {
		if missing.operation == subscribe && !v.cfg.isOptional(missing) && time.Since(times.last) <= violationLasts {
			return true
		}
	}
	return false
}
