package streams

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/jet"
)

// fixer says who can fix a configuration that violates a rule.
type fixer int

const (
	byWorker     fixer = iota // with NATS_PROVISION=true, when the worker starts
	byOperator                // a worker leaves it unchanged: an operator may have a reason
	byRecreating              // NATS refuses the change
)

// severity says what it means that a rule is violated.
type severity int

const (
	fatal      severity = iota // a task could be lost, hidden or run twice: the worker is not ready
	warning                    // the worker is ready, and an operator should know
	preference                 // not reported: a worker sets it in what it creates or fixes
)

// rule is one requirement on a configuration C. Provisioning, readiness and the dry run of capstan check read the
// same rules.
type rule[C any] struct {
	fields []string // of C, that the rule reads

	// want states the rule, and often what would happen otherwise, as in "max age must be 0, or running
	// tasks are cut off".
	want string

	// got prints the value that violates the rule. It is nil if want says it all.
	got func(C) string
	ok  func(C) bool

	// set makes C comply. It is nil if that is impossible or up to an operator.
	set      func(*C)
	fixer    fixer
	severity severity

	// isInitial: set applies to whatever a worker creates, even if ok.
	isInitial bool

	// isOwner: a resource without a mark that violates the rule is another application's, and never changed.
	isOwner bool
}

// fixable says who can fix a violation. A worker does not set a value that is the operator's choice, not even in what it
// creates.
func (r rule[C]) fixable(by fixer) rule[C] {
	r.fixer = by
	if by == byOperator {
		r.set = nil
	}
	return r
}

// withSeverity sets what a violation means. Without it, a violation is fatal.
func (r rule[C]) withSeverity(s severity) rule[C] {
	r.severity = s
	return r
}

// identifiesOwner makes the rule one of those that tell Capstan's resources from another application's.
func (r rule[C]) identifiesOwner() rule[C] {
	r.isOwner = true
	return r
}

// okIf replaces the condition under which a configuration complies. It is for rules that accept more than
// the one value that a worker sets.
func (r rule[C]) okIf(ok func(C) bool) rule[C] {
	r.ok = ok
	return r
}

// exactly is the rule that a field of C has one value, which a worker sets. It panics if there is no such field, which
// tests find: they try each rule.
func exactly[C any](field string, value any, want string) rule[C] {
	of := func(c *C) reflect.Value { return reflect.ValueOf(c).Elem().FieldByName(field) }
	valueFor := func(f reflect.Value) reflect.Value { return reflect.ValueOf(value).Convert(f.Type()) }
	return rule[C]{
		fields: []string{field},
		want:   want,
		got:    func(c C) string { return printed(of(&c).Interface()) },
		ok:     func(c C) bool { return of(&c).Equal(valueFor(of(&c))) },
		set:    func(c *C) { of(c).Set(valueFor(of(c))) },
	}
}

// atLeast is the rule that a limit, which is an integer or a duration, is no lower than least. A limit of 0 or less is
// none, and complies. That is also what a worker sets.
func atLeast[C any](field string, least any, want string) rule[C] {
	return exactly[C](field, 0, want).okIf(func(c C) bool {
		limit := reflect.ValueOf(c).FieldByName(field).Int()
		return limit <= 0 || limit >= reflect.ValueOf(least).Int()
	})
}

// initially sets a field in what a worker creates, and requires nothing of what exists.
func initially[C any](field string, value any) rule[C] {
	r := exactly[C](field, value, "").withSeverity(preference).okIf(func(C) bool { return true })
	r.isInitial = true
	return r
}

// violation describes how c violates the rule, as in
//
//	max age must be 0, or running tasks are cut off (got 1h0m0s)
func (r rule[C]) violation(c C) string {
	text := r.want
	if r.got != nil {
		text += " (got " + r.got(c) + ")"
	}
	if r.fixer == byRecreating {
		text += "; NATS cannot change this, it must be recreated"
	}
	return text
}

// violated returns the rules that a configuration violates, preferences included, in their order.
func violated[C any](rules []rule[C], c C) []rule[C] {
	var all []rule[C]
	for _, r := range rules {
		if !r.ok(c) {
			all = append(all, r)
		}
	}
	return all
}

// comply makes a configuration comply with the rules, and reports whether it changed. A new configuration gets the
// initial values and complies with all rules; one that exists complies with those that a worker may fix.
func comply[C any](rules []rule[C], c *C, isNew bool) bool {
	changed := false
	for _, r := range rules {
		isDue := !r.ok(*c) && (isNew || r.fixer == byWorker) || isNew && r.isInitial
		if r.set != nil && isDue {
			r.set(c)
			changed = true
		}
	}
	return changed
}

// foreign says why a resource belongs to another application, or returns "". Older versions set no mark. Without one
// a resource is Capstan's if it has the retention, the subjects and the filter that a worker gives it.
func foreign[C any](rules []rule[C], c C, metadata map[string]string, purpose string) string {
	switch metadata[jet.Mark] {
	case purpose:
		return ""
	case "":
	default:
		return fmt.Sprintf("metadata %s must be %s (got %s)", jet.Mark, purpose, metadata[jet.Mark])
	}
	var reasons []string
	for _, r := range violated(rules, c) {
		if r.isOwner {
			reasons = append(reasons, r.violation(c))
		}
	}
	return strings.Join(reasons, ", ")
}

// printed prints a value as NATS' tools do: on and off, durations with units, policies in lower case. A
// user then finds the words of a report in the output of the nats command.
func printed(value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "on"
		}
		return "off"
	case time.Duration:
		return v.String()
	case fmt.Stringer:
		return strings.TrimPrefix(strings.ToLower(v.String()), "discard")
	default:
		return fmt.Sprint(v)
	}
}
