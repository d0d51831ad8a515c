package streams

import (
	"strings"

	"github.com/capstan-worker/capstan/internal/jet"
)

// Permissions are the subjects that a worker publishes to if it does not provision. docs/permissions.md explains each
// of them, and a worker that misses one names it as it is here. Acks and flow control have two forms each: a server
// with the feature flag js_ack_fc_v2 uses the longer ones.
//
// With a domain in the settings they are those that a server of another domain checks, such as a leaf node. A server of
// that domain checks the ones without a domain, see WithoutDomain.
func (c Config) Permissions() []string {
	requests, results, records := c.Requests.Name, c.Results.Name, c.TrackerStream()
	objects, control := c.LargeStream(), c.ControlStream()
	chunks := "$O." + c.Large + ".C.*"
	meta := "$O." + c.Large + ".M.*"
	api := c.API("")
	return []string{
		api + "STREAM.INFO." + requests, api + "STREAM.INFO." + results, api + "STREAM.INFO." + c.Dead.Name,
		api + "STREAM.INFO." + records, api + "STREAM.INFO." + objects,
		api + "CONSUMER.INFO." + requests + "." + c.Consumer,
		api + "CONSUMER.MSG.NEXT." + requests + "." + c.Consumer,
		"$JS.ACK." + requests + "." + c.Consumer + ".>", "$JS.ACK.*.*." + requests + "." + c.Consumer + ".>",
		c.LimitSubject(),
		api + "STREAM.MSG.GET." + requests,
		api + "STREAM.MSG.GET." + records, c.RecordWriteSubject(">"),
		api + "STREAM.INFO." + control, api + "STREAM.MSG.GET." + control, c.ControlWriteSubject(">"),
		api + "CONSUMER.CREATE." + control + ".*", api + "CONSUMER.MSG.NEXT." + control + ".*", api + "CONSUMER.DELETE." + control + ".*",
		jet.StatusSubject,
		c.Results.Subject, c.Dead.Subject,
		api + "STREAM.MSG.GET." + results,
		api + "CONSUMER.CREATE." + results + ".*", api + "CONSUMER.MSG.NEXT." + results + ".*", api + "CONSUMER.DELETE." + results + ".*",
		chunks, meta,
		api + "DIRECT.GET." + objects + "." + meta,
		api + "CONSUMER.CREATE." + objects + ".*." + chunks, api + "CONSUMER.DELETE." + objects + ".*",
		api + "STREAM.PURGE." + objects,
		"$JS.FC." + objects + ".>", "$JS.FC.*.*." + objects + ".>",
	}
}

// LimitSubject is the subject by which workers change the consumer's limit to what the plan allows. One that may not
// publish to it goes on with the limit that is set.
func (c Config) LimitSubject() string {
	return c.API("CONSUMER.CREATE." + c.Requests.Name + "." + c.Consumer + "." + c.Requests.Subject)
}

// provisioning are the subjects that a worker publishes to in addition if it provisions.
func (c Config) provisioning() []string {
	api := c.API("")
	consumer := api + "CONSUMER.CREATE." + c.Requests.Name + "." + c.Consumer
	all := []string{
		api + "STREAM.NAMES", api + "STREAM.CREATE." + c.ControlStream(), api + "STREAM.UPDATE." + c.ControlStream(),
		consumer, consumer + ".>",
	}
	for _, role := range c.roles() {
		all = append(all, api+"STREAM.CREATE."+role.name, api+"STREAM.UPDATE."+role.name)
	}
	return all
}

// API returns the subject of a call of JetStream's API, in the domain of the settings. call is the rest of
// the subject, such as STREAM.INFO.TASKS.
func (c Config) API(call string) string { return jet.API(c.NATS.JSDomain, call) }

// WithoutDomain returns what a server of the domain in the settings makes of a subject in that domain, before it checks
// permissions: $JS.API.STREAM.INFO.TASKS of $JS.hub.API.STREAM.INFO.TASKS, and $KV.task_tracker.a of
// $JS.hub.API.$KV.task_tracker.a. It returns any other subject as it is.
func (c Config) WithoutDomain(subject string) string {
	rest, ok := strings.CutPrefix(subject, c.API(""))
	switch {
	case !ok || c.NATS.JSDomain == "":
		return subject
	case strings.HasPrefix(rest, "$KV."):
		return rest
	default:
		return "$JS.API." + rest
	}
}

// isOptional reports whether a worker can do without a permission: it concerns only the bucket in which workers share
// what they learn and see what operators ask, the limit by the plan, or questions to workers, each of which is a service of NATS' micro framework
// (ADR-32). A worker that provisions and may not change the consumer reports that as a problem of the consumer, if there
// is one.
func (c Config) isOptional(p permission) bool {
	switch p.subject {
	case services, jet.StatusSubject, jet.TaskSubject, replies, c.LimitSubject(), c.WithoutDomain(c.LimitSubject()):
		return true
	default:
		return strings.HasSuffix(strings.TrimSuffix(p.subject, ".*"), "."+c.ControlStream()) || c.WithoutDomain(p.subject) == jet.BucketSubject(c.Control, ">")
	}
}

const (
	services = "$SRV.>" // where services are asked for

	// replies stands for the subjects of all answers to questions. Whoever asks chooses the subject, so none of them has an
	// entry or a log line of its own.
	replies = "replies (allow_responses)"
)

// permission returns the permission that would allow a worker to use a subject. Its subject has wildcards
// for the parts that belong to one task or one delivery. A subject that no worker uses by itself stands for itself, and
// is not known.
func (c Config) permission(o operation, subject string) (p permission, isKnown bool) {
	if o == subscribe {
		prefix := c.NATS.InboxPrefix
		if prefix == "" {
			prefix = "_INBOX"
		}
		for _, pattern := range []string{prefix + ".>", services} {
			if matchesAll(pattern, subject) {
				return permission{o, pattern}, true
			}
		}
		return permission{o, subject}, subject == jet.StatusSubject || subject == jet.TaskSubject
	}
	patterns := c.Permissions()
	if c.NATS.Provision {
		patterns = append(patterns, c.provisioning()...)
	}
	for _, pattern := range patterns {
		for _, checked := range []string{pattern, c.WithoutDomain(pattern)} {
			if matchesAll(checked, subject) {
				return permission{o, checked}, true
			}
		}
	}
	return permission{o, subject}, false
}
