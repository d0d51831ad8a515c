package streams

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// resource is a stream or the consumer, with the calls that find, create and update it. C is its
// configuration, and H is the handle that jetstream returns for it. The two kinds share reconcile, which is
// why it is generic.
type resource[H, C any] struct {
	purpose string // the value of the mark
	rules   []rule[C]

	// rename is advice for a user whose name another application uses.
	rename string

	find     func(context.Context) (H, error) // ErrStreamNotFound or ErrConsumerNotFound if it is missing
	create   func(context.Context, C) (H, error)
	update   func(context.Context, C) (H, error)
	configOf func(H) C
	metadata func(*C) *map[string]string // of a configuration
	initial  C                           // of a new resource, before comply: its name

	createCall, updateCall string // see Report.RepairCall

	// isReadOnly means that the resource is neither created nor repaired, whatever the settings say.
	isReadOnly bool
}

// reconcile finds, creates or repairs one resource, and reports what remains wrong. usable is false if the resource is
// missing, belongs to another application, or is unknown because a call failed. found may be set even then: it is the
// other application's.
//
// An update that fails does not make the resource unusable. The rules decide: a violation that is still there is
// reported beside the error.
func reconcile[H, C any](ctx context.Context, p *provisioner, r resource[H, C], report *Report) (found H, usable bool) {
	var h H // read only if ask returns nil: until then a call that was given up may still write it
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		h, err = r.find(ctx)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
		return createMissing(ctx, p, r, report)
	case err != nil:
		report.addError("", err)
		return found, false
	}
	cfg := r.configOf(h)
	if reason := foreign(r.rules, cfg, *r.metadata(&cfg), r.purpose); reason != "" {
		report.add(fatal, "belongs to another application and is left unchanged: %s. %s", reason, r.rename)
		return h, false
	}
	if p.repair && !p.dryRun && !r.isReadOnly {
		h = repaired(ctx, p, r, h, report)
	}
	if addViolations(report, r.rules, r.configOf(h), p.create) {
		report.RepairCall = r.updateCall
	}
	return h, true
}

// createMissing creates a resource, or only reports that it is missing. It does not create what would violate a fatal
// rule at once. An example is the consumer of a stream that renames requests: it needs another filter, and only an
// operator knows which.
func createMissing[H, C any](ctx context.Context, p *provisioner, r resource[H, C], report *Report) (h H, usable bool) {
	if !p.create || p.dryRun || r.isReadOnly {
		report.addMissing(p.create)
		if p.create {
			report.RepairCall = r.createCall
		}
		return h, false
	}
	cfg := r.initial
	comply(r.rules, &cfg, true)
	*r.metadata(&cfg) = map[string]string{jet.Mark: r.purpose}
	for _, violation := range violated(r.rules, cfg) {
		if violation.severity == fatal {
			addViolations(report, r.rules, cfg, false)
			return h, false
		}
	}
	h, err := r.create(ctx, cfg)
	if err != nil {
		report.addError("create: ", err)
		return h, false
	}
	addViolations(report, r.rules, r.configOf(h), false)
	return h, true
}

// markTimeout bounds an update that only marks a resource. A worker can do without the mark, and a login that may not
// update gets no answer.
const markTimeout = time.Second

// repaired makes a resource comply with the rules, and marks it. It returns h if that fails or is not needed. Everything
// in the configuration that no rule is about stays as an operator has set it, metadata included.
func repaired[H, C any](ctx context.Context, p *provisioner, r resource[H, C], h H, report *Report) H {
	cfg := r.configOf(h)
	metadata := r.metadata(&cfg)
	changed := comply(r.rules, &cfg, false)
	if !changed && ((*metadata)[jet.Mark] != "" || p.cannotMark) {
		return h
	}
	*metadata = maps.Clone(*metadata)
	if *metadata == nil {
		*metadata = map[string]string{}
	}
	(*metadata)[jet.Mark] = r.purpose
	if !changed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, markTimeout)
		defer cancel()
	}
	updated, err := r.update(ctx, cfg)
	switch {
	case err == nil:
		return updated
	case changed:
		report.addError("update: ", err)
	default:
		p.cannotMark = true
	}
	return h
}
