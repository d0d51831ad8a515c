package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Report says what is wrong with one stream, consumer or bucket, or with the account.
type Report struct {
	Resource string // as in "stream TASKS"
	Problems []Problem
	Missing  bool                  // and not created
	Stream   *jetstream.StreamInfo // nil if it is missing, if no answer came, and if the resource is not a stream

	// Summary describes the state of a resource, for a user who wants to know more than that nothing is wrong.
	Summary string

	// RepairCall is the call of JetStream's API by which a worker would create or fix the resource, without its
	// prefix; "" if none is needed. Only a login that may make the call can leave that to a worker.
	RepairCall string
}

// Problem is a violated rule, or another reason why a worker cannot use a resource. Without Warning and Unanswered the
// worker is not ready.
type Problem struct {
	Text       string // what is wrong, and what to do
	Warning    bool   // the worker is ready nevertheless
	Repairable bool   // a worker that starts fixes it, or creates what is missing (NATS_PROVISION)
	Unanswered bool   // nothing is known, because no answer came
}

// add adds a problem that a worker does not repair.
func (r *Report) add(s severity, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Text: fmt.Sprintf(format, args...), Warning: s == warning})
}

// addError adds the error of a call. doing says what was being done, as in "update: ". The problem counts
// as unanswered if the error says nothing about the resource.
func (r *Report) addError(doing string, err error) {
	r.Problems = append(r.Problems, Problem{Text: doing + err.Error(), Unanswered: isUnanswered(err)})
}

// addMissing says that the resource does not exist, and who will create it.
func (r *Report) addMissing(willBeCreated bool) {
	r.Missing = true
	text := "missing. Create it, or set NATS_PROVISION=true"
	if willBeCreated {
		text = "missing; the first worker creates it (NATS_PROVISION)"
	}
	r.Problems = append(r.Problems, Problem{Text: text, Repairable: willBeCreated})
}

// addViolations adds the rules that a configuration violates, in the order of the rules; a violated
// preference is not reported. canRepair says that a worker with these settings repairs what it may; the
// result says whether it would repair at least one of the violations.
func addViolations[C any](r *Report, rules []rule[C], c C, canRepair bool) (repairable bool) {
	for _, violation := range violated(rules, c) {
		if violation.severity == preference {
			continue
		}
		p := Problem{Text: violation.violation(c), Warning: violation.severity == warning, Repairable: canRepair && violation.fixer == byWorker}
		r.Problems = append(r.Problems, p)
		repairable = repairable || p.Repairable
	}
	return repairable
}

// minRoom is what one more record or event takes, in bytes. A stream with less room is full.
const minRoom = 2 << 10

// describeFull says that a stream is full, or returns "". NATS compares the limit with the size of the new message too,
// so a stream is full a bit before it reaches its limit of bytes.
func describeFull(info *jetstream.StreamInfo) string {
	cfg, state := info.Config, info.State
	switch {
	case cfg.MaxMsgs > 0 && state.Msgs >= uint64(cfg.MaxMsgs):
		return fmt.Sprintf("full (%d of %d messages)", state.Msgs, cfg.MaxMsgs)
	case cfg.MaxBytes > 0 && state.Bytes+minRoom > uint64(cfg.MaxBytes):
		return fmt.Sprintf("full (%d of %d bytes)", state.Bytes, cfg.MaxBytes)
	default:
		return ""
	}
}

// isUnanswered reports whether an error means only that no answer came, as during the election of a leader. It says
// nothing about the resource. A server that refuses a call does answer.
func isUnanswered(err error) bool {
	const unavailable = jetstream.ErrorCode(10008) // the meta group has no leader
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok && refusal.ErrorCode == unavailable {
		return true
	}
	for _, reason := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected, jetstream.ErrJetStreamNotEnabled,
		nats.ErrReconnectBufExceeded, // the connection was lost a moment ago, and the client keeps no message for later
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
