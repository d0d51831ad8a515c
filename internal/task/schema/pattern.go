package schema

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dlclark/regexp2/v2/syntax"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of the patterns of a schema.
const (
	// The longest pattern, in bytes.
	maxPattern = 4096
	// The most opening parentheses of a pattern. The parser takes time by the cube of the nested ones.
	maxGroups = 100
	// The most instructions of all programs of a schema. a{1000} takes 1000.
	maxInstructions = 200_000
)

// pattern is a compiled regular expression of ECMA-262 with the flag u, as JSON Schema recommends. It implements
// jsonschema.Regexp.
type pattern struct {
	// Its source.
	text  string
	meter *meter
	// The search: by a program or, for a pattern with back-references, by backtracking. It panics with the
	// error of the meter that it is given.
	find func(text string, m *meter) bool
}

// MatchString reports whether the pattern matches any part of the text. It panics with the meter's error if that takes too
// many steps.
func (p *pattern) MatchString(text string) bool {
	p.meter.spend(1)
	return p.find(text, p.meter)
}

// matchesName is MatchString within a small budget of its own, so that describing a schema never stops a
// check. A search that exceeds it counts as no match.
func (p *pattern) matchesName(name string) (found bool) {
	defer func() {
		if broken := recover(); broken != nil && broken != any(errCostly) {
			panic(broken)
		}
	}()
	// The schema's own meter has no budget before a check begins.
	m := newMeter(math.MaxInt)
	m.left = smallSteps
	return p.find(name, m)
}

// String returns the source of the pattern.
func (p *pattern) String() string { return p.text }

// patterns compiles the patterns of one schema, each text once.
type patterns struct {
	meter        *meter
	known        map[string]*pattern
	instructions int // of all programs
	// The schema is compiled. A pattern is now a value with "format": "regex", and is not kept.
	complete bool
}

// compile implements jsonschema.RegexpEngine. The error says what is wrong with the pattern, for the author
// of the schema.
func (all *patterns) compile(text string) (jsonschema.Regexp, error) {
	if p := all.known[text]; p != nil {
		return p, nil
	}
	// The parser has no bounds of its own.
	if len(text) > maxPattern || strings.Count(text, "(") > maxGroups {
		return nil, fmt.Errorf("it is longer than %d bytes, or has more than %d groups", maxPattern, maxGroups)
	}
	all.meter.spend(10 + len(text)) // for the parser
	tree, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	p := &pattern{text: text, meter: all.meter}
	if p.find, err = all.finder(tree); err != nil {
		return nil, err
	}
	if !all.complete {
		all.known[text] = p
	}
	return p, nil
}

// finder returns the search for a parsed pattern. Only back-references need a search that tries one path after the other.
// Everything else is found by reading the text once, and once more for each look-around.
func (all *patterns) finder(tree *syntax.RegexTree) (func(string, *meter) bool, error) {
	if err := checkNodes(tree.Root); err != nil {
		return nil, err
	}
	if hasReference(tree.Root) {
		return func(text string, m *meter) bool { return backtrack(tree.Root, text, m) }, nil
	}
	p, err := newProgram(tree.Root, maxInstructions-all.instructions)
	if err != nil {
		return nil, err
	}
	if !all.complete {
		all.instructions += p.size()
	}
	all.meter.spend(p.size() / opsPerStep)
	return p.find, nil
}

// parsePattern parses a pattern as ECMA-262 with the flag u. If that fails it tries without the flag, because [\w-.] and
// other patterns in wide use are only valid by the rules for web browsers (ECMA-262, annex B). The error is of the first try.
func parsePattern(text string) (*syntax.RegexTree, error) {
	tree, err := syntax.Parse(text, syntax.ParseOptions{RegexOptions: syntax.ECMAScript | syntax.Unicode})
	if err == nil {
		return tree, nil
	}
	tree, errWeb := syntax.Parse(text, syntax.ParseOptions{RegexOptions: syntax.ECMAScript})
	if errWeb != nil {
		return nil, err
	}
	return tree, nil
}

// checkNodes returns an error for syntax of other dialects, which the parser accepts and the searches do not support.
func checkNodes(n *syntax.RegexNode) error {
	switch n.T {
	case syntax.NtBoundary, syntax.NtNonboundary, syntax.NtStart, syntax.NtEndZ, syntax.NtBackRefCond, syntax.NtExprCond, syntax.NtGrapheme:
		return fmt.Errorf("%s is not part of ECMA-262", n.Description())
	default:
	}
	// In .NET, (?<a-b>…) removes a capture of b. The parser puts the number of b into N.
	if n.T == syntax.NtCapture && n.N >= 0 {
		return errors.New("balancing groups are not part of ECMA-262")
	}
	for _, child := range n.Children {
		if err := checkNodes(child); err != nil {
			return err
		}
	}
	return nil
}

// hasReference reports whether the pattern contains a back-reference.
func hasReference(n *syntax.RegexNode) bool {
	return n.T == syntax.NtRef || slices.ContainsFunc(n.Children, hasReference)
}
