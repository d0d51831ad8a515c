package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// listen tries to subscribe to an inbox, as each call does.
func (c *checker) listen(ctx context.Context) error {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // or it ends with the connection
	return c.flushed(ctx, inbox)
}

// flushed waits until the server has read what was sent, and returns its refusal where it concerns the
// subject.
func (c *checker) flushed(ctx context.Context, subject string) error {
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if err := c.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), strconv.Quote(subject)) {
		return err
	}
	return nil
}

// ask makes one call, and tells a refused permission from silence.
func (c *checker) ask(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkCall)
	defer cancel()
	c.forgetDenials()
	done := make(chan error, 1)
	go func() { done <- call(ctx) }() // ends with ctx
	select {
	case v := <-c.denied:
		return c.notPermitted(v.err)
	case err := <-done:
		if errors.Is(err, nats.ErrPermissionViolation) {
			return c.notPermitted(err)
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return errors.New("no answer: is JetStream up, and does the stream have a leader?")
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
			return fmt.Errorf("%w: there is no JetStream here. At a leaf node, set NATS_JS_DOMAIN to the hub's domain", err)
		}
		return err
	}
}

// forgetDenials forgets what the server said of an earlier call.
func (c *checker) forgetDenials() {
	for len(c.denied) > 0 {
		<-c.denied
	}
}

// permissionError is a permission that the login lacks.
type permissionError struct{ operation, grant string }

// Error implements error.
func (e *permissionError) Error() string {
	return fmt.Sprintf("missing permission: %s %s. Grant it to the worker's login", e.operation, e.grant)
}

// notPermitted names the permission that would do, which may stand for more subjects than the one that was tried.
func (c *checker) notPermitted(violation error) error {
	operation, subject := streams.Violation(violation)
	return &permissionError{operation: operation, grant: c.cfg.Streams().Permission(operation, subject)}
}

// A probe is a message that the server answers or drops without effect, so that only a missing permission
// stands out. One whose answers would go to a subject of the server's own is refused once the permission for
// its subject was found, and reaches no subscriber; a pull whose batch is no number, and word on a delivery that
// never was, do nothing.
const (
	probeReply = "_R_.capstan-check"
	probePull  = `{"batch":"none"}`
	probeCall  = `{"batch":` // which is no JSON, and so is refused before anything is done
)

// permissions tries what a worker sends, beyond what has been asked already.
func (c *checker) permissions(ctx context.Context) {
	const what = "permissions"
	missing := c.denials(ctx)
	for _, problem := range missing {
		c.say(Bad, what, "%s", problem)
	}
	// Servers with the flag use this form only. Others need the shorter one, which the probe above was.
	longForm := "$JS.ACK._.check." + c.cfg.Request.Stream + "." + c.cfg.Consumer + ".check"
	err := c.send(ctx, &nats.Msg{Subject: longForm, Data: []byte("+WPI")})
	switch {
	case err != nil:
		c.say(Warn, what, "%v: with NATS' feature flag js_ack_fc_v2 no request could be acknowledged", err)
	case len(missing) == 0:
		c.say(OK, what, "all required permissions are granted (not tested: purging large results, flow control)")
	}
}

// denials returns what is missing, each once.
func (c *checker) denials(ctx context.Context) []string {
	cfg := c.cfg.Streams()
	seen := map[string]bool{}
	var found []string
	add := func(text string) {
		if text != "" && !seen[text] {
			seen[text] = true
			found = append(found, text)
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
		add(c.denial(ctx, cfg.API(call)))
	}
	for _, probe := range []nats.Msg{
		{Subject: cfg.Results.Subject, Reply: probeReply},
		{Subject: cfg.Dead.Subject, Reply: probeReply},
		{Subject: cfg.RecordSubject("capstan-check"), Reply: probeReply},
		{Subject: object + ".C.check", Reply: probeReply},
		{Subject: object + ".M.check", Reply: probeReply},
		{Subject: "$JS.ACK." + durable + ".check", Data: []byte("+WPI")},
	} {
		if err := c.send(ctx, &probe); err != nil {
			add(err.Error())
		}
	}
	return found
}

// denial makes a call that has no effect, and returns what is denied of it, if anything is.
func (c *checker) denial(ctx context.Context, subject string) string {
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

// send sends a probe and returns what the server has against it.
func (c *checker) send(ctx context.Context, probe *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, checkCall)
	defer cancel()
	err := c.nc.PublishMsg(probe)
	if err == nil {
		err = c.flushed(ctx, probe.Subject)
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		return c.notPermitted(err)
	}
	return err
}
