package schema

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Bounds of an error's length.
const (
	maxViolations = 5
	// How many values of an enum an error lists. Of a longer enum it says only how long it is.
	maxChoices = 10
)

// violations returns the violations as one error, ordered by their place: "/heading: is required; /price: got string, want
// number; and 2 more".
func violations(e *jsonschema.ValidationError) error {
	all := leaves(e, nil)
	some := len(all)
	all = slices.DeleteFunc(all, isMore) // they only become "and more"
	unseen := len(all) < some
	slices.SortStableFunc(all, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(slices.Compare(a.InstanceLocation, b.InstanceLocation), strings.Compare(a.SchemaURL, b.SchemaURL))
	})
	var texts []string
	for len(all) > 0 && len(texts) < maxViolations {
		texts = append(texts, describe(all[0])...)
		all = all[1:]
	}
	// describe may return several texts for one violation.
	rest := len(all) + max(0, len(texts)-maxViolations)
	texts = texts[:min(len(texts), maxViolations)]
	switch {
	case unseen:
		texts = append(texts, "and more")
	case rest > 0:
		texts = append(texts, fmt.Sprintf("and %d more", rest))
	}
	return errors.New(strings.Join(slices.Compact(texts), "; "))
}

// isMore reports whether a violation only says that there may be others.
func isMore(e *jsonschema.ValidationError) bool {
	_, ok := e.ErrorKind.(more)
	return ok
}

// leaves appends the leaves of a tree of violations to a list. For alternatives (anyOf, oneOf) it appends only that all
// failed: why each failed does not say which was meant.
func leaves(e *jsonschema.ValidationError, to []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	// Memory is freed with the causes: each alternative has a tree of its own.
	case *kind.AnyOf, *kind.OneOf, *kind.PropertyNames:
		e.Causes = nil
		return append(to, e)
	}
	if len(e.Causes) == 0 {
		return append(to, e)
	}
	for _, cause := range e.Causes {
		to = leaves(cause, to)
	}
	return to
}

// describe puts a violation into words. If names are missing or not allowed, there is one text for each. The texts may quote
// the schema, but no part of the instance except names and invalid patterns.
func describe(e *jsonschema.ValidationError) []string {
	switch k := e.ErrorKind.(type) {
	case *kind.Format:
		if own, ok := errors.AsType[*misfit](k.Err); ok {
			// A visit found it, in the place of the format.
			return describe(&jsonschema.ValidationError{InstanceLocation: e.InstanceLocation, ErrorKind: own.kind})
		}
		if k.Want == "regex" {
			return located(e, "is not a regular expression: "+k.Err.Error())
		}
		return located(e, "is not a valid "+k.Want)
	case *kind.Required:
		return located(e, "is required", k.Missing...)
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return located(e, "is not allowed", k.Properties...)
	case *kind.PropertyNames:
		return located(e, "is not allowed as a name", k.Property)
	case *kind.AnyOf:
		return located(e, "matches none of anyOf")
	case *kind.FalseSchema:
		return located(e, "is not allowed")
	case *kind.Enum:
		if len(k.Want) > maxChoices {
			return located(e, fmt.Sprintf("is none of the %d values in enum", len(k.Want)))
		}
	case *kind.Pattern:
		return located(e, "does not match the pattern "+strconv.Quote(k.Want))
	}
	if text := describeNumber(e.ErrorKind); text != "" {
		return located(e, text)
	}
	// The validator has English texts for all other kinds. Without the place it adds nothing to them.
	withoutPlace := jsonschema.ValidationError{ErrorKind: e.ErrorKind}
	return located(e, withoutPlace.DetailedOutput().Error.String())
}

// describeNumber puts a violation by a number into words, or returns "" for any other.
func describeNumber(violated jsonschema.ErrorKind) string {
	switch k := violated.(type) {
	case *kind.Minimum:
		return "is below the minimum of " + number(k.Want)
	case *kind.Maximum:
		return "is above the maximum of " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "is not above " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "is not below " + number(k.Want)
	case *kind.MultipleOf:
		return "is not a multiple of " + number(k.Want)
	default:
		return ""
	}
}

// located returns a text for a violation, with its place in front. If there are names, it returns one text
// for each, with the place of the member that has the name.
func located(e *jsonschema.ValidationError, what string, names ...string) []string {
	place := pointer(e.InstanceLocation)
	if len(names) == 0 && place == "" {
		return []string{what}
	}
	if len(names) == 0 {
		return []string{place + ": " + what}
	}
	var all []string
	for _, name := range names {
		all = append(all, place+pointer([]string{name})+": "+what)
	}
	return all
}

// number writes a number of the schema as people would: 0.1 instead of 1/10.
func number(n *big.Rat) string {
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// pointer returns a JSON pointer (RFC 6901). It is empty for the whole value.
func pointer(names []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + escape.Replace(name))
	}
	return b.String()
}
