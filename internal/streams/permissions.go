package streams

import "strings"

// Permissions are the subjects that a worker without provision publishes to; docs/permissions.md says what each
// is for, and a log line names the one that is missing. Acks and flow control have two forms each: a server with
// the feature flag js_ack_fc_v2 uses the longer ones.
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

// API is the subject of a call to JetStream, in the domain of the settings.
func (c Config) API(call string) string {
	if c.NATS.JSDomain != "" {
		return "$JS." + c.NATS.JSDomain + ".API." + call
	}
	return "$JS.API." + call
}

// Permission is what would allow a worker to use a subject: it stands for a whole family of subjects, where their
// last parts are a task's or a delivery's own.
func (c Config) Permission(operation, subject string) string {
	if operation == Subscribing {
		prefix := c.NATS.InboxPrefix
		if prefix == "" {
			prefix = "_INBOX"
		}
		if strings.HasPrefix(subject, prefix+".") {
			return prefix + ".>"
		}
		return subject
	}
	for _, pattern := range c.Permissions() {
		if matchesAll(pattern, subject) {
			return pattern
		}
	}
	return subject
}
