package streams

import "strings"

// Permissions are the subjects that a worker publishes to if it does not provision. docs/permissions.md explains each
// of them, and a worker that misses one names it as it is here. Acks and flow control have two forms each: a server
// with the feature flag js_ack_fc_v2 uses the longer ones.
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
		api + "STREAM.MSG.GET." + records, c.RecordSubject(">"),
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
func (c Config) API(call string) string {
	if c.NATS.JSDomain != "" {
		return "$JS." + c.NATS.JSDomain + ".API." + call
	}
	return "$JS.API." + call
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
		if matchesAll(pattern, subject) {
			return permission{o, pattern}
		}
	}
	return permission{o, subject}
}
