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
	maxPattern      = 4096    // bytes of a pattern
	maxGroups       = 100     // opening parentheses of a pattern: the parser takes the cube of the nested ones
	maxInstructions = 200_000 // of all programs: a{1000} takes 1000
)

// pattern is a compiled regular expression of ECMA-262 with the flag u, as JSON Schema recommends. It implements
// jsonschema.Regexp.
type pattern struct {
	text  string
	meter *meter
	find  func(text string, m *meter) bool
}

// MatchString reports whether the pattern matches any part of the text. It panics with the meter's error if that takes too
// many steps.
func (p *pattern) MatchString(text string) bool {
	p.meter.spend(1)
	return p.find(text, p.meter)
}

// matchesName is MatchString within a small budget of its own. A search that exceeds it counts as no match.
func (p *pattern) matchesName(name string) (found bool) {
	defer func() {
		if broken := recover(); broken != nil && broken != any(errCostly) {
			panic(broken)
		}
	}()
	m := newMeter(math.MaxInt) // the schema's own meter has no budget before a check begins
	m.left = smallSteps
	return p.find(name, m)
}

// String returns the source of the pattern.
func (p *pattern) String() string { return p.text }

// patterns compiles the patterns of one schema, each text once.
type patterns struct {
	meter        *meter
	known        map[string]*pattern
	instructions int  // of all programs
	complete     bool // the schema is compiled: a pattern is now a value with "format": "regex", and is not kept
}

// compile implements jsonschema.RegexpEngine.
func (all *patterns) compile(text string) (jsonschema.Regexp, error) {
	if p := all.known[text]; p != nil {
		return p, nil
	}
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
