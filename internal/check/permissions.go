package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// A probe is a message that the server answers or drops without effect, so that only a missing permission shows. One
// with probeReply reaches no subscriber: the server checks the permission for its subject, and then refuses the reply,
// a subject of its own. A pull whose batch is not a number does nothing, nor does an ack of a delivery that never was.
const (
	probeReply = "_R_.capstan-check"
	probePull  = `{"batch":"none"}`
	probeCall  = `{"batch":` // which is not JSON, and so is refused before anything is done
)

// permissions tests what a worker sends, in addition to what the other checks have asked. It reports one
// line for each missing permission, or that none is missing. That line names what cannot be tested without
// an effect. mayAskWorkers is whether the login may ask the workers for their status.
func (c *checker) permissions(ctx context.Context) (mayAskWorkers bool) {
	const subject = "permissions"
	missing := c.missingPermissions(ctx)
	for _, text := range missing {
		c.add(Bad, subject, "%s", text)
	}
	// A server with the flag uses only this form. Others use the shorter one, which missingPermissions tests.
	longForm := "$JS.ACK._.check." + c.cfg.Request.Stream + "." + c.cfg.Consumer + ".check"
	err := c.send(ctx, &nats.Msg{Subject: longForm, Data: []byte("+WPI")})
	mayAskWorkers = c.send(ctx, &nats.Msg{Subject: jet.StatusSubject, Reply: probeReply}) == nil
	switch {
	case err != nil:
		c.add(Warn, subject, "%v. Servers with the feature flag js_ack_fc_v2 need it for acknowledgments", err)
	case !mayAskWorkers:
		c.add(Warn, subject, "missing permission: publish to %q. Workers go on without it, and do not know how many run on the others", jet.StatusSubject)
	case len(missing) == 0:
		c.add(OK, subject, "all required permissions granted (not tested: purging large results, flow control)")
	}
	return mayAskWorkers
}

// missingPermissions returns the permissions that the login lacks, each once. It tests one subject for each permission of
// streams.Config.Permissions, except for those that the dry run has used, and those whose use has an effect. Names that
// end in check belong to no consumer, delivery or object.
func (c *checker) missingPermissions(ctx context.Context) []string {
	cfg := c.cfg.Streams()
	var missing []string
	add := func(text string) {
		if text != "" && !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
	}
	durable := cfg.Requests.Name + "." + cfg.Consumer
	results, objects, object := cfg.Results.Name, cfg.LargeStream(), "$O."+cfg.Large
	for _, call := range []string{
		"STREAM.MSG.GET." + cfg.Requests.Name, "STREAM.MSG.GET." + results,
		"STREAM.MSG.GET." + cfg.TrackerStream(), "CONSUMER.MSG.NEXT." + durable,
		"CONSUMER.CREATE." + results + ".check", "CONSUMER.MSG.NEXT." + results + ".check", "CONSUMER.DELETE." + results + ".check",
		"DIRECT.GET." + objects + "." + object + ".M.check",
		"CONSUMER.CREATE." + objects + ".check." + object + ".C.check", "CONSUMER.DELETE." + objects + ".check",
	} {
		add(c.missingPermission(ctx, cfg.API(call)))
	}
	for _, probe := range []nats.Msg{
		{Subject: cfg.Results.Subject, Reply: probeReply},
		{Subject: cfg.Dead.Subject, Reply: probeReply},
		{Subject: cfg.RecordWriteSubject("capstan-check"), Reply: probeReply},
		{Subject: object + ".C.check", Reply: probeReply},
		{Subject: object + ".M.check", Reply: probeReply},
		{Subject: "$JS.ACK." + durable + ".check", Data: []byte("+WPI")},
	} {
		if err := c.send(ctx, &probe); err != nil {
			add(err.Error())
		}
	}
	return missing
}

// missingPermission makes a call that has no effect, and names the permission that it lacks. It returns ""
// if the server refuses the call for another reason, and if no answer comes.
func (c *checker) missingPermission(ctx context.Context, subject string) string {
	body := probeCall
	if strings.Contains(subject, ".MSG.NEXT.") {
		body = probePull
	}
	err := c.ask(ctx, func(ctx context.Context) error {
		_, err := c.nc.RequestWithContext(ctx, subject, []byte(body))
		return err
	})
	if missing, ok := errors.AsType[*permissionError](err); ok {
		return missing.Error()
	}
	return ""
}

// permissionError names a permission that the login lacks, and is the text of a result. It tells such an
// error from all others, which say nothing about permissions.
type permissionError struct{ text string }

// Error implements error.
func (e *permissionError) Error() string { return e.text }

// explain turns a permission violation, as NATS words it, into a permissionError.
func (c *checker) explain(violation error) error {
	return &permissionError{c.cfg.Streams().MissingPermission(violation)}
}

// ask makes one call. It returns a permissionError rather than no answer if the server reports a violation
// during the call. Other errors that a user can act on are explained. After a violation the call may still
// run, until its context ends, and write to what it captured: the caller must not read that after an error.
func (c *checker) ask(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.dropViolations()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }() // ends with ctx
	select {
	case missing := <-c.violations:
		return &permissionError{missing}
	case err := <-done:
		switch {
		case errors.Is(err, nats.ErrPermissionViolation):
			return c.explain(err)
		case errors.Is(err, context.DeadlineExceeded):
			return errors.New("no answer: is JetStream up, and does the stream have a leader?")
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
			return fmt.Errorf("%w: JetStream is not enabled here. At a leaf node, set NATS_JS_DOMAIN to the hub's domain", err)
		}
		return err
	}
}

// dropViolations drops a late report about an earlier call, which must not be blamed on the next one.
func (c *checker) dropViolations() {
	for len(c.violations) > 0 {
		<-c.violations
	}
}

// send sends a probe, and returns a permissionError if the server refuses it. The server does not acknowledge what it
// accepts, so silence after a flush means success.
func (c *checker) send(ctx context.Context, probe *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.dropViolations()
	err := c.nc.PublishMsg(probe)
	if err == nil {
		err = c.flush(ctx, probe.Subject)
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	select { // the client reports it a second time
	case <-c.violations:
	case <-ctx.Done():
	}
	return c.explain(err)
}

// subscribe tries to subscribe to an inbox, as each call does. A login without this permission hears no
// answer at all.
func (c *checker) subscribe(ctx context.Context) error {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // if it fails, it ends with the connection
	return c.flush(ctx, inbox)
}

// flush waits until the server has read what was sent. It returns the server's refusal if that is about the
// subject, which a server of the streams' domain names without the domain. The client keeps only the last
// error, so a refusal about another subject may hide this one; but only one probe is in progress at a time.
func (c *checker) flush(ctx context.Context, subject string) error {
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	err := c.nc.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	for _, named := range []string{subject, c.cfg.Streams().WithoutDomain(subject)} {
		if strings.Contains(err.Error(), strconv.Quote(named)) {
			return err
		}
	}
	return nil
}
