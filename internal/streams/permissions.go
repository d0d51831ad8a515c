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
	objects := c.LargeStream()
	chunks := "$O." + c.Large + ".C.*"
	meta := "$O." + c.Large + ".M.*"
	api := c.API("")
	return []string{
		api + "STREAM.INFO." + requests, api + "STREAM.INFO." + results, api + "STREAM.INFO." + c.Dead.Name,
		api + "STREAM.INFO." + records, api + "STREAM.INFO." + objects,
		api + "CONSUMER.INFO." + requests + "." + c.Consumer,
		api + "CONSUMER.MSG.NEXT." + requests + "." + c.Consumer,
		"$JS.ACK." + requests + "." + c.Consumer + ".>", "$JS.ACK.*.*." + requests + "." + c.Consumer + ".>",
		api + "STREAM.MSG.GET." + requests,
		api + "STREAM.MSG.GET." + records, c.RecordWriteSubject(">"),
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

// permission returns the permission that would allow a worker to use a subject. Its subject has wildcards
// for the parts that belong to one task or one delivery. A subject that no known permission covers stands
// for itself.
func (c Config) permission(o operation, subject string) permission {
	if o == subscribe {
		prefix := c.NATS.InboxPrefix
		if prefix == "" {
			prefix = "_INBOX"
		}
		if strings.HasPrefix(subject, prefix+".") {
			subject = prefix + ".>"
		}
		return permission{o, subject}
	}
	for _, pattern := range c.Permissions() {
		for _, checked := range []string{pattern, c.WithoutDomain(pattern)} {
			if matchesAll(checked, subject) {
				return permission{o, checked}
			}
		}
	}
	return permission{o, subject}
}
