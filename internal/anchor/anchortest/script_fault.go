package anchortest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ending reads the name of an ending.
func (r *scriptReader) ending(m part, plan *Plan) {
	var name string
	r.word(m, &name)
	named, err := findNamed(name)
	switch {
	case name == "":
	case err != nil:
		r.complain(m.begin, "ending: %v", err)
	case named.Ending == nil:
		r.complain(m.begin, "ending: %s strikes calls: put it into submit or poll", name)
	default:
		where := plan.Name
		*plan = plan.endingAs(*named.Ending)
		plan.Name = where + " " + name
	}
}

// checkEnding notes members that contradict each other.
func (r *scriptReader) checkEnding(begin int, members []part) {
	has := func(name string) bool {
		return slices.ContainsFunc(members, func(m part) bool { return m.name == name })
	}
	state := ""
	for _, m := range members {
		if m.name == "state" {
			_ = json.Unmarshal(m.value, &state) // member complains
		}
	}
	switch {
	case has("ending") && (has("result") || has("error") || has("state")):
		r.complain(begin, "ending excludes result, error and state")
	case has("result") && has("error"):
		r.complain(begin, "result and error exclude each other")
	case has("result") && has("state") && state != "COMPLETED":
		r.complain(begin, "only a COMPLETED workflow has a result (got the state %.40q)", state)
	case has("error") && state == "COMPLETED":
		r.complain(begin, "a COMPLETED workflow has no error")
	}
}

// faults reads a list of what calls meet.
func (r *scriptReader) faults(m part, isPoll bool) []Fault {
	if m.value.Kind() != '[' {
		r.complain(m.begin, `%s must be a list such as ["429","ok"] (got %.40s)`, m.name, m.value)
		return nil
	}
	var all []Fault
	for _, item := range parts(m.begin, m.value) {
		f, err := readFault(item.value, isPoll)
		if err != nil {
			r.complain(item.begin, "%s: %v", m.name, err)
		}
		all = append(all, f)
	}
	return all
}

// readFault reads the name of a fault, or a Fault as JSON.
func readFault(value jsontext.Value, isPoll bool) (Fault, error) {
	switch value.Kind() {
	case '"':
		var name string
		if err := json.Unmarshal(value, &name); err != nil {
			return Fault{}, err
		}
		return namedFault(name, isPoll)
	case '{':
		return readFaultObject(value, isPoll)
	default:
		return Fault{}, fmt.Errorf("must be the name of a fault, or an object (got %.40s)", value)
	}
}

// namedFault returns the fault of that name. ok is a call that nothing strikes.
func namedFault(name string, isPoll bool) (Fault, error) {
	if name == "ok" {
		return Fault{}, nil
	}
	named, err := findNamed(strings.TrimPrefix(name, pollPrefix))
	switch {
	case err != nil:
		return Fault{}, err
	case named.Fault == nil:
		return Fault{}, fmt.Errorf("%s is how a workflow ends: write \"ending\":%q", name, name)
	case strings.HasPrefix(name, sessionPrefix):
		return Fault{}, fmt.Errorf("%s strikes calls about sessions, which are not part of a task", name)
	case isPoll && !named.ForPoll:
		return Fault{}, fmt.Errorf("%s strikes submissions only", name)
	case !isPoll && strings.HasPrefix(name, pollPrefix):
		return Fault{}, fmt.Errorf("%s strikes status calls: put it into poll", name)
	}
	return *named.Fault, nil
}

// readFaultObject reads a Fault as JSON. With the member fault, the others change the one of that name.
func readFaultObject(value jsontext.Value, isPoll bool) (Fault, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		return Fault{}, err
	}
	var f Fault
	if raw, ok := members["fault"]; ok {
		var name string
		if json.Unmarshal(raw, &name) != nil {
			return f, fmt.Errorf("fault must be the name of a fault (got %.40s)", raw)
		}
		var err error
		if f, err = namedFault(name, isPoll); err != nil {
			return f, err
		}
		delete(members, "fault")
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return f, err
	}
	if err := f.UnmarshalJSON(rest); err != nil {
		return f, plainJSON(err)
	}
	return f, f.check()
}

// check refuses what no server can do.
func (f Fault) check() error {
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599) && f.Status != 101:
		return fmt.Errorf("status must be from 200 to 599 (got %d)", f.Status)
	case f.Times < -1:
		return fmt.Errorf("times must be -1 for all calls, or a number of calls (got %d)", f.Times)
	case f.Before < 0 || f.After < 0 || f.Until < 0:
		return errors.New("before, after and until must not be negative")
	case f.Size < 0:
		return fmt.Errorf("size must not be negative (got %d)", f.Size)
	}
	return nil
}

// plainJSON says in plain words what is wrong with an object.
func plainJSON(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]
		return fmt.Errorf("%s must be %s (got a %s)", field, kindOf(wrong.Type), wrong.Value)
	}
	text := strings.TrimPrefix(err.Error(), "json: ")
	if problem, ok := strings.CutPrefix(text, "time: "); ok {
		return fmt.Errorf("before, after and until must be durations such as \"1.5s\" (%s)", problem)
	}
	return errors.New(text)
}

// kindOf names the type of a field in plain words.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "an object of texts"
	default:
		return "a text"
	}
}
