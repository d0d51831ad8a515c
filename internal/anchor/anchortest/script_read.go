package anchortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/go-json-experiment/json/jsontext"
)

// ReadScript reads a script: JSON objects, one after another, and comments, which are lines that begin with # or //. Each
// object is a rule, with the members
//
//	task      number of the task, 1 for the first one that is submitted
//	prompt    text that the prompt of the task contains
//	submit    list of what its submissions meet, in this order; later ones succeed
//	poll      list of what its status calls meet, likewise
//	run       how long the workflow runs, such as "5s"
//	interim   state of the running workflow, in place of RUNNING
//	ending    how the workflow ends: the name of an ending (NamedFaults)
//	result    what the workflow returns, in place of ending
//	error     why the workflow fails, in place of ending
//	state     state at the end, in place of COMPLETED or FAILED
//	times     how many tasks the rule is for; the ones after them may fit another rule
//	block     whether the workflow runs until it is released
//
// An item of a list is the name of a fault (NamedFaults), "ok" for the normal answer, or a Fault as JSON, which may begin
// with a named one: {"fault":"429","times":3}. name is the name of the file. The error has a line for each mistake, which
// begins with file and line.
func ReadScript(name string, text []byte) (*Script, error) {
	r := &scriptReader{name: name, text: withoutComments(text)}
	decoder := jsontext.NewDecoder(bytes.NewReader(r.text))
	script := &Script{chosen: map[int]*rule{}}
	for {
		value, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.syntaxError(err)
			break
		}
		begin := int(decoder.InputOffset()) - len(value)
		script.rules = append(script.rules, r.rule(begin, value))
	}
	if len(script.rules) == 0 && len(r.problems) == 0 {
		r.complain(0, "the file has no rule")
	}
	return script, errors.Join(r.problems...)
}

// withoutComments blanks the lines that are comments. The other bytes keep their places.
func withoutComments(text []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if begin := bytes.TrimSpace(line); bytes.HasPrefix(begin, []byte("#")) || bytes.HasPrefix(begin, []byte("//")) {
			line = append(bytes.Repeat([]byte(" "), len(bytes.TrimRight(line, "\n"))), line[len(bytes.TrimRight(line, "\n")):]...)
		}
		kept = append(kept, line...)
	}
	return kept
}

// scriptReader collects the mistakes of a script.
type scriptReader struct {
	name     string
	text     []byte
	problems []error
}

// at returns file and line of an offset.
func (r *scriptReader) at(offset int) string {
	return fmt.Sprintf("%s:%d", r.name, 1+bytes.Count(r.text[:min(offset, len(r.text))], []byte("\n")))
}

// complain notes a mistake at an offset.
func (r *scriptReader) complain(offset int, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: %s", r.at(offset), fmt.Sprintf(format, args...)))
}

// syntaxError notes that the text is not JSON. What follows cannot be read.
func (r *scriptReader) syntaxError(err error) {
	offset := len(r.text)
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset = int(syntax.ByteOffset)
		err = syntax.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.complain(len(bytes.TrimSpace(r.text)), "not JSON: the object does not end")
		return
	}
	r.complain(offset, "not JSON: %s", strings.TrimPrefix(err.Error(), "jsontext: "))
}

// part is a member of an object, or an item of a list, and where it begins.
type part struct {
	name  string // of a member
	value jsontext.Value
	begin int
}

// parts returns the members of an object or the items of a list, which begins at an offset and is valid JSON.
func parts(begin int, value jsontext.Value) []part {
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	open, err := decoder.ReadToken()
	if err != nil {
		return nil
	}
	var all []part
	for decoder.PeekKind() != '}' && decoder.PeekKind() != ']' {
		var p part
		if open.Kind() == '{' {
			name, err := decoder.ReadToken()
			if err != nil {
				return all
			}
			p.name = name.String()
		}
		inner, err := decoder.ReadValue()
		if err != nil {
			return all
		}
		p.value, p.begin = inner.Clone(), begin+int(decoder.InputOffset())-len(inner)
		all = append(all, p)
	}
	return all
}

// rule reads one object. What is wrong in it is noted and left out.
func (r *scriptReader) rule(begin int, value jsontext.Value) *rule {
	read := &rule{where: r.at(begin)}
	read.plan.Name = filepath.Base(read.where)
	if value.Kind() != '{' {
		r.complain(begin, "a rule must be an object in braces (got %.40s)", value)
		return read
	}
	members := parts(begin, value)
	for _, member := range members {
		r.member(read, member)
	}
	r.checkEnding(begin, members)
	return read
}

// member reads a member of a rule.
func (r *scriptReader) member(into *rule, m part) {
	plan := &into.plan
	switch m.name {
	case "task":
		r.number(m, &into.task, 1)
	case "prompt":
		r.word(m, &into.prompt)
	case "submit":
		plan.Submit = r.faults(m, false)
	case "poll":
		plan.Poll = r.faults(m, true)
	case "run":
		r.duration(m, &plan.Run)
	case "interim":
		r.word(m, &plan.Interim)
	case "ending":
		r.ending(m, plan)
	case "result":
		plan.Result = json.RawMessage(m.value)
	case "error":
		r.word(m, &plan.Error)
	case "state":
		r.word(m, &plan.State)
	case "times":
		r.number(m, &into.times, 1)
	case "block":
		if json.Unmarshal(m.value, &plan.Block) != nil {
			r.complain(m.begin, "block must be true or false (got %.40s)", m.value)
		}
	default:
		r.complain(m.begin, "unknown member %.100q: did you mean %s?", m.name, nearestMember(m.name))
	}
}

// nearestMember returns the member of a rule whose name takes the fewest edits.
func nearestMember(name string) string {
	known := strings.Fields("task prompt submit poll run interim ending result error state times block")
	edits := func(k string) int { return levenshtein.ComputeDistance(name[:min(len(name), 100)], k) }
	return slices.MinFunc(known, func(a, b string) int { return edits(a) - edits(b) })
}

// number reads a number that is at least so large.
func (r *scriptReader) number(m part, into *int, least int) {
	if json.Unmarshal(m.value, into) != nil || *into < least {
		r.complain(m.begin, "%s must be a whole number from %d on (got %.40s)", m.name, least, m.value)
	}
}

// word reads a text that is not empty.
func (r *scriptReader) word(m part, into *string) {
	if json.Unmarshal(m.value, into) != nil || *into == "" {
		r.complain(m.begin, "%s must be a text that is not empty (got %.40s)", m.name, m.value)
	}
}

// duration reads a time that is not negative. A rule's 0s is no default, so it becomes the shortest time there is.
func (r *scriptReader) duration(m part, into *time.Duration) {
	var text string
	err := json.Unmarshal(m.value, &text)
	if err == nil {
		*into, err = time.ParseDuration(text)
	}
	if err != nil || *into < 0 {
		r.complain(m.begin, "%s must be a duration such as \"5s\" (got %.40s)", m.name, m.value)
	}
	*into = max(*into, 1)
}
