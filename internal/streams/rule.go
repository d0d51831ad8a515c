package streams

import (
	"fmt"
	"strings"
)

// The mark is a key in the metadata of what a worker creates. Its value says what the stream, consumer or bucket is
// for: by it a worker tells its own from what another application made under the same name.
const mark = "capstan"

// mender says who can mend a configuration that breaks a rule.
type mender int

const (
	worker   mender = iota // with NATS_PROVISION=true, when it starts
	operator               // a worker leaves it alone: an operator may have a reason
	recreate               // NATS refuses the change
)

// level says what it means that a rule is broken.
type level int

const (
	wrong   level = iota // could lose, hide or double a task: a worker is not ready
	warning              // works, and somebody should know
	quiet                // a worker prefers the other setting where it may choose
)

// rule is one thing that a configuration C has to keep. Provisioning, readiness and capstan check read the same
// rules.
type rule[C any] struct {
	fields []string       // of C, that the rule looks at
	want   string         // "max age must be 0, or running tasks are cut off"
	got    func(C) string // the value that breaks the rule, as it is told; nil where want says all
	ok     func(C) bool
	set    func(*C) // makes it so: in what is created, and in what a worker mends; nil where nothing can be set
	mender mender
	level  level

	// isOwner is true of what tells Capstan's own from another application's: a thing that breaks the rule and
	// has no mark is never changed.
	isOwner bool
}

// says names the rule with the value that breaks it.
func (r rule[C]) says(c C) string {
	text := r.want
	if r.got != nil {
		text += fmt.Sprintf(" (got %s)", r.got(c))
	}
	if r.mender == recreate {
		text += "; NATS cannot change that, it has to be recreated"
	}
	return text
}

// broken returns the rules that a configuration breaks.
func broken[C any](rules []rule[C], c C) []rule[C] {
	var all []rule[C]
	for _, r := range rules {
		if !r.ok(c) {
			all = append(all, r)
		}
	}
	return all
}

// foreign says what makes a thing another application's, or "". Older versions set no mark: without one a thing is
// Capstan's where it has the retention, the subjects and the filter that a worker gives it.
func foreign[C any](rules []rule[C], c C, metadata map[string]string, purpose string) string {
	switch metadata[mark] {
	case purpose:
		return ""
	case "":
	default:
		return fmt.Sprintf("its metadata say %s=%s, want %s", mark, metadata[mark], purpose)
	}
	var reasons []string
	for _, r := range broken(rules, c) {
		if r.isOwner {
			reasons = append(reasons, r.says(c))
		}
	}
	return strings.Join(reasons, ", ")
}

// mend makes a configuration keep the rules that a worker mends, and reports whether anything changed.
func mend[C any](rules []rule[C], c *C) bool {
	changed := false
	for _, r := range rules {
		if r.mender == worker && r.set != nil && !r.ok(*c) {
			r.set(c)
			changed = true
		}
	}
	return changed
}

// printed returns a function that prints one value of a configuration.
func printed[C, V any](value func(C) V) func(C) string {
	return func(c C) string { return fmt.Sprint(value(c)) }
}

// limit prints a limit of a stream, where 0 and less mean none.
func limit(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

// onOff prints a switch.
func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
