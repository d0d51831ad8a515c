package check

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/streams"
)

// streams looks at each stream, the consumer and the buckets.
func (c *checker) streams(ctx context.Context) {
	cfg := c.cfg
	requests := c.stream(ctx, "stream "+cfg.Request.Stream, cfg.Request.Stream, streams.RequestRules(cfg.Streams()))
	c.window(c.stream(ctx, "stream "+cfg.Result.Stream, cfg.Result.Stream, streams.ResultRules(cfg.Streams())))
	c.stream(ctx, "stream "+cfg.Dead.Stream, cfg.Dead.Stream, streams.DeadRules(cfg.Streams()))
	c.stream(ctx, "bucket "+cfg.Tracker.Bucket, cfg.Tracker.Stream(), streams.TrackerRules(cfg.Streams()))
	c.stream(ctx, "object store "+cfg.Result.Bucket, objectStream(cfg), nil)
	if requests != nil {
		c.consumer(ctx)
	}
}

// objectStream is the stream behind the object store of large results (ADR-20).
func objectStream(cfg app.Config) string { return "OBJ_" + cfg.Result.Bucket }

// stream returns a stream that is there, right or wrong, or nil.
func (c *checker) stream(ctx context.Context, what, name string, rules []streams.Rule) jetstream.Stream {
	var s jetstream.Stream
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		s, err = c.js.Stream(ctx, name)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		c.missing(ctx, what, "$JS.API.STREAM.CREATE."+name)
		return nil
	case err != nil:
		c.say(Bad, what, "%v", err)
		return nil
	}
	var mended, wrong []string
	for _, r := range rules {
		switch {
		case r.OK(s.CachedInfo().Config):
		case c.cfg.NATS.Provision && !r.Once:
			mended = append(mended, r.Want)
		default:
			wrong = append(wrong, r.Want)
		}
	}
	replicas := s.CachedInfo().Config.Replicas
	switch {
	case len(wrong) > 0:
		c.say(Bad, what, "%s", strings.Join(append(wrong, mended...), "; "))
	case len(mended) > 0:
		c.say(Warn, what, "%s. A worker mends that when it starts (NATS_PROVISION)", strings.Join(mended, "; "))
	case replicas < c.cfg.NATS.Replicas:
		c.say(Warn, what, "%d replicas, and NATS_REPLICAS is %d. A worker with NATS_PROVISION=true raises them", replicas, c.cfg.NATS.Replicas)
	case replicas == 1:
		c.say(Warn, what, "one replica: what is on it is lost with its disk. NATS_REPLICAS=3 on a cluster of three")
	default:
		c.say(OK, what, "%d replicas", replicas)
	}
	return s
}

// missing tells of what is not there, and whether a worker would make it: by a call to that subject.
func (c *checker) missing(ctx context.Context, what, create string) {
	if !c.cfg.NATS.Provision {
		c.say(Bad, what, "not there. Make it, or set NATS_PROVISION=true and let a worker make it")
		return
	}
	if denied := c.denial(ctx, create); denied != "" {
		c.say(Bad, what, "not there, and a worker may not make it (NATS_PROVISION): %s", denied)
		return
	}
	c.say(OK, what, "not there yet: the first worker makes it (NATS_PROVISION)")
}

// window tells for how long the results stream knows an event again by its id.
func (c *checker) window(s jetstream.Stream) {
	if s == nil {
		return
	}
	const what = "duplicate window"
	found := s.CachedInfo().Config.Duplicates
	if found < streams.DuplicateWindow {
		c.say(Warn, what, "an event is known again for %v: with less than %v, workers look through the stream more often", found, streams.DuplicateWindow)
		return
	}
	c.say(OK, what, "an event is known again for %v", found)
}

func (c *checker) consumer(ctx context.Context) {
	what := "consumer " + c.cfg.Consumer
	var found jetstream.Consumer
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		found, err = c.js.Consumer(ctx, c.cfg.Request.Stream, c.cfg.Consumer)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		c.missing(ctx, what, "$JS.API.CONSUMER.CREATE."+c.cfg.Request.Stream+"."+c.cfg.Consumer+"."+c.cfg.Request.Subject)
		return
	case err != nil:
		c.say(Bad, what, "%v", err)
		return
	}
	problems := strings.Join(streams.ConsumerProblems(found.CachedInfo().Config, streams.WantedConsumer(c.cfg.Streams())), "; ")
	switch {
	case problems == "":
		info := found.CachedInfo()
		c.say(OK, what, "%d requests wait, %d are held", info.NumPending, info.NumAckPending)
	case c.cfg.NATS.Provision:
		c.say(Warn, what, "%s. A worker mends what can be changed when it starts (NATS_PROVISION)", problems)
	default:
		c.say(Bad, what, "%s", problems)
	}
}

// A probe is a message that the server answers or drops without effect, so that only a missing permission
// stands out. One whose answers would go to a subject of the server's own is refused once the permission for
// its subject was found, and reaches nobody; a pull whose batch is no number, and word on a delivery that never
// was, do nothing.
const (
	probeReply = "_R_.capstan-check"
	probePull  = `{"batch":"none"}`
	probeCall  = `{"batch":` // which is no JSON, and so is refused before anything is done
)

// permissions tries what a worker sends, beyond what has been asked already.
func (c *checker) permissions(ctx context.Context) {
	const what = "permissions"
	before := c.denials(ctx)
	for _, problem := range before {
		c.say(Bad, what, "%s", problem)
	}
	if len(before) == 0 {
		c.say(OK, what, "may pull, acknowledge, record, publish, and look through events; not tried: to purge large results")
	}
}

func (c *checker) denials(ctx context.Context) []string {
	cfg := c.cfg
	var found []string
	durable := cfg.Request.Stream + "." + cfg.Consumer
	results, objects, object := cfg.Result.Stream, objectStream(cfg), "$O."+cfg.Result.Bucket
	for _, subject := range []string{
		"$JS.API.STREAM.MSG.GET." + cfg.Request.Stream, "$JS.API.STREAM.MSG.GET." + results,
		"$JS.API.STREAM.MSG.GET." + cfg.Tracker.Stream(), "$JS.API.CONSUMER.MSG.NEXT." + durable,
		"$JS.API.CONSUMER.CREATE." + results + ".check", "$JS.API.CONSUMER.MSG.NEXT." + results + ".check", "$JS.API.CONSUMER.DELETE." + results + ".check",
		"$JS.API.DIRECT.GET." + objects + "." + object + ".M.check",
		"$JS.API.CONSUMER.CREATE." + objects + ".check." + object + ".C.check", "$JS.API.CONSUMER.DELETE." + objects + ".check",
	} {
		if denied := c.denial(ctx, subject); denied != "" {
			found = append(found, denied)
		}
	}
	// Nothing is asked after these: the word on what they were denied may come twice.
	for _, probe := range []nats.Msg{
		{Subject: cfg.Result.Subject, Reply: probeReply},
		{Subject: cfg.Dead.Subject, Reply: probeReply},
		{Subject: cfg.Tracker.Subject("capstan-check"), Reply: probeReply},
		{Subject: object + ".C.check", Reply: probeReply},
		{Subject: object + ".M.check", Reply: probeReply},
		{Subject: "$JS.ACK." + durable + ".check", Data: []byte("+WPI")},
	} {
		if err := c.send(ctx, &probe); err != nil {
			found = append(found, err.Error())
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
	if err != nil && strings.HasPrefix(err.Error(), "not permitted") {
		return err.Error()
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
		return notPermitted(err.Error())
	}
	return err
}
