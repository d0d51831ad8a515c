package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Finding is what a look found of one stream, consumer or bucket.
type Finding struct {
	What     string // as in "stream TASKS"
	Name     string // of the stream or consumer
	Problems []Problem
	Missing  bool
	Stream   *jetstream.StreamInfo   // nil where it is none, is missing, or no answer came
	Consumer *jetstream.ConsumerInfo // likewise
	Account  *jetstream.AccountInfo  // likewise
}

// Problem is something that is wrong, or that somebody should know.
type Problem struct {
	Says       string // which rule is broken, by which value
	Warning    bool   // a worker works like this
	Mended     bool   // a worker that starts mends it, or creates what is missing (NATS_PROVISION)
	Unanswered bool   // nothing is known: no answer came
}

// found begins a finding.
func (p *provisioner) found(what string) *Finding {
	p.findings = append(p.findings, Finding{What: what})
	return &p.findings[len(p.findings)-1]
}

func (f *Finding) wrong(format string, args ...any) {
	f.Problems = append(f.Problems, Problem{Says: fmt.Sprintf(format, args...)})
}

func (f *Finding) failed(doing string, err error) {
	f.Problems = append(f.Problems, Problem{Says: doing + err.Error(), Unanswered: isSilence(err)})
}

func (f *Finding) missing(created bool) {
	f.Missing = true
	says := "is missing. Create it, or set NATS_PROVISION=true and let a worker create it"
	if created {
		says = "is missing: the first worker creates it (NATS_PROVISION)"
	}
	f.Problems = append(f.Problems, Problem{Says: says, Mended: created})
}

func (f *Finding) breaks(says string, l level, mended bool) {
	if l != quiet {
		f.Problems = append(f.Problems, Problem{Says: says, Warning: l == warning, Mended: mended})
	}
}

// leastRoom is what one more record or event takes, in bytes: less room than that is none.
const leastRoom = 2 << 10

// full says that a stream takes no more, or "".
func full(info *jetstream.StreamInfo) string {
	cfg, state := info.Config, info.State
	switch {
	case cfg.MaxMsgs > 0 && state.Msgs >= uint64(cfg.MaxMsgs):
		return fmt.Sprintf("is full (%d of %d messages)", state.Msgs, cfg.MaxMsgs)
	case cfg.MaxBytes > 0 && state.Bytes+leastRoom > uint64(cfg.MaxBytes):
		return fmt.Sprintf("is full (%d of %d bytes)", state.Bytes, cfg.MaxBytes)
	default:
		return ""
	}
}

// isSilence reports whether an error says no more than that no answer came.
func isSilence(err error) bool {
	const unavailable = jetstream.ErrorCode(10008) // no leader of the meta group
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok && refusal.ErrorCode == unavailable {
		return true
	}
	for _, silence := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, silence) {
			return true
		}
	}
	return false
}
