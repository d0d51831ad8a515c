package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// control describes the bucket in which workers share what they learn, and see what operators ask. Workers continue
// without it, so nothing about it is worse than a warning. missing is the number of streams that a worker needs and will
// create: they come first.
func (c *checker) control(ctx context.Context, missing int) {
	subject := "bucket " + c.cfg.Control.Bucket
	info, err := c.askControl(ctx)
	problem, summary := "", "missing; the first worker creates it (NATS_PROVISION)"
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && !c.cfg.NATS.Provision:
		problem = "missing. Create it, or set NATS_PROVISION=true"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if why := c.whyNotCreated(ctx, missing); why != "" {
			problem = "missing, and cannot be created: " + why
		}
	case err != nil:
		problem = fmt.Sprintf("cannot be used: %v", err)
	default:
		problem, summary = c.cfg.Control.Refusal(info.Config), counted(info.State.Msgs, "value")
	}
	if problem == "" {
		problem = c.controlPermissions(ctx)
	}
	if problem != "" {
		c.add(Warn, subject, "%s. Workers go on without it", problem)
		return
	}
	if denied := c.watchPermissions(ctx); denied != "" {
		c.add(Warn, subject, "%s. Workers go on without it, and do not see what operators cancel and pause", denied)
		return
	}
	c.add(OK, subject, "%s", summary)
}

// askControl returns the stream behind the bucket.
func (c *checker) askControl(ctx context.Context) (*jetstream.StreamInfo, error) {
	js, err := c.cfg.NATS.JetStream(c.nc)
	if err != nil {
		return nil, err
	}
	var stream jetstream.Stream // read only if ask returns nil
	err = c.ask(ctx, func(ctx context.Context) (err error) {
		stream, err = js.Stream(ctx, c.cfg.Control.Stream())
		return err
	})
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// whyNotCreated says why NATS would not let a worker create the bucket, or returns "".
func (c *checker) whyNotCreated(ctx context.Context, missing int) string {
	if denied := c.missingPermission(ctx, c.cfg.Streams().API("STREAM.CREATE."+c.cfg.Control.Stream())); denied != "" {
		return denied
	}
	hasJetStream, _ := c.nc.ConnectedServerJetStream() // false at a leaf node, whose hub may be a cluster
	if c.cfg.NATS.Replicas > 1 && c.nc.ConnectedClusterName() == "" && hasJetStream {
		return fmt.Sprintf("NATS_REPLICAS must be 1, because the server is not in a cluster (got %d)", c.cfg.NATS.Replicas)
	}
	account, others, err := c.askAccount(ctx)
	if err != nil { // a login may lack these permissions, and its worker create the bucket nevertheless
		return ""
	}
	used := streams.TierOf(account, c.cfg.NATS.Replicas)
	switch most := used.Limits.MaxStreams; {
	case len(others) > 0:
		return "its subjects overlap with those of stream " + strings.Join(others, ", ")
	case most > 0 && used.Streams+missing >= most:
		return fmt.Sprintf("max streams of the account is %d, and workers need those", most)
	case used.Limits.MaxBytesRequired:
		return "max bytes is required for each stream, and a worker sets none"
	default:
		return ""
	}
}

// askAccount returns the account's limits, and the streams that store messages of the bucket's subjects.
func (c *checker) askAccount(ctx context.Context) (*jetstream.AccountInfo, []string, error) {
	js, err := c.cfg.NATS.JetStream(c.nc)
	if err != nil {
		return nil, nil, err
	}
	var account *jetstream.AccountInfo // both are read only if ask returns nil
	var others []string
	err = c.ask(ctx, func(ctx context.Context) (err error) {
		names := js.StreamNames(ctx, jetstream.WithStreamListSubject(c.cfg.Control.Subjects()))
		for name := range names.Name() {
			others = append(others, name)
		}
		if err := names.Err(); err != nil {
			return err
		}
		account, err = js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return account, others, nil
}

// watchPermissions names what the login lacks to watch the bucket, or returns "".
func (c *checker) watchPermissions(ctx context.Context) string {
	for _, call := range []string{"CREATE.", "MSG.NEXT.", "DELETE."} {
		if denied := c.missingPermission(ctx, c.cfg.Streams().API("CONSUMER."+call+c.cfg.Control.Stream()+".check")); denied != "" {
			return denied
		}
	}
	return ""
}

// controlPermissions names what the login lacks to read and write the bucket, or returns "".
func (c *checker) controlPermissions(ctx context.Context) string {
	cfg := c.cfg.Streams()
	if denied := c.missingPermission(ctx, cfg.API("STREAM.MSG.GET."+c.cfg.Control.Stream())); denied != "" {
		return denied
	}
	err := c.send(ctx, &nats.Msg{Subject: cfg.ControlWriteSubject("capstan-check"), Reply: probeReply})
	if denied, ok := errors.AsType[*permissionError](err); ok {
		return denied.Error()
	}
	return ""
}
