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

// Bounds of a pattern.
const (
	maxPattern      = 4096    // bytes
	maxGroups       = 100     // opening parentheses: parsing nested ones takes the cube of their number
	maxInstructions = 200_000 // of all programs of a schema: a{1000} takes 1000
)

// pattern is a regular expression of ECMA-262 with the flag u, which is how JSON Schema reads patterns.
type pattern struct {
	text  string
	meter *meter
	find  func(text string, m *meter) bool
}

// MatchString reports whether the pattern is found in the text. It panics with the meter's error if that costs
// too much.
func (p *pattern) MatchString(text string) bool {
	p.meter.spend(1)
	return p.find(text, p.meter)
}

// matchesName reports whether the pattern is found in a name, within a small budget of its own.
func (p *pattern) matchesName(name string) (found bool) {
	defer func() {
		if broken := recover(); broken != nil && broken != any(errCostly) {
			panic(broken)
		}
	}()
	m := newMeter(math.MaxInt)
	m.left = quickSteps
	return p.find(name, m)
}

func (p *pattern) String() string { return p.text }

// patterns compiles the patterns of a schema, each text once.
type patterns struct {
	meter        *meter
	known        map[string]*pattern
	instructions int
	complete     bool // the schema is compiled: what is compiled now is a value that has to be a pattern
}

// compile is the validator's regexp engine.
func (all *patterns) compile(text string) (jsonschema.Regexp, error) {
	if p := all.known[text]; p != nil {
		return p, nil
	}
	if len(text) > maxPattern || strings.Count(text, "(") > maxGroups {
		return nil, fmt.Errorf("it is longer than %d bytes, or has more than %d groups", maxPattern, maxGroups)
	}
	all.meter.spend(10 + len(text))
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

// finder returns the search for a parsed pattern. Only back-references need a search that tries one way after the
// other; all else is found in one pass for each look-around and one for the whole, in time linear in the text.
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

// parsePattern reads a pattern as ECMA-262 with the flag u or, where it is none, without that flag: [\w-.] and
// others that are in wide use are read by the rules for the web (ECMA-262, annex B) alone.
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

// checkNodes refuses what the parser takes from other dialects and the searches do not know.
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

func hasReference(n *syntax.RegexNode) bool {
	return n.T == syntax.NtRef || slices.ContainsFunc(n.Children, hasReference)
}
