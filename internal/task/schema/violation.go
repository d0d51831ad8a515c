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

// Bounds of what an error tells.
const (
	maxViolations = 5
	maxChoices    = 10 // values of an enum
)

// violations puts what the validator found into words, in a fixed order: "/heading: is required; …".
func violations(e *jsonschema.ValidationError) error {
	all := leaves(e, nil)
	some := len(all)
	all = slices.DeleteFunc(all, isMore)
	unseen := len(all) < some
	slices.SortStableFunc(all, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(slices.Compare(a.InstanceLocation, b.InstanceLocation), strings.Compare(a.SchemaURL, b.SchemaURL))
	})
	var told []string
	for len(all) > 0 && len(told) < maxViolations {
		told = append(told, describe(all[0])...)
		all = all[1:]
	}
	rest := len(all) + max(0, len(told)-maxViolations)
	told = told[:min(len(told), maxViolations)]
	switch {
	case unseen:
		told = append(told, "and more")
	case rest > 0:
		told = append(told, fmt.Sprintf("and %d more", rest))
	}
	return errors.New(strings.Join(slices.Compact(told), "; "))
}

// isMore reports whether a violation says that there may be others.
func isMore(e *jsonschema.ValidationError) bool {
	_, ok := e.ErrorKind.(more)
	return ok
}

// leaves appends the ends of the tree of violations. Of alternatives only their failing is told: why each
// failed says nothing about which was meant.
func leaves(e *jsonschema.ValidationError, to []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
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

// describe says what is wrong at one place, or at the places of the names that are missing or too many.
// It quotes the schema, and of the instance no more than names and what should be a pattern.
func describe(e *jsonschema.ValidationError) []string {
	switch k := e.ErrorKind.(type) {
	case *kind.Format:
		if own, ok := errors.AsType[*misfit](k.Err); ok {
			return describe(&jsonschema.ValidationError{InstanceLocation: e.InstanceLocation, ErrorKind: own.kind})
		}
		if k.Want == "regex" {
			return located(e, "is no regex: "+k.Err.Error())
		}
		return located(e, "is no "+k.Want)
	case *kind.Required:
		return located(e, "is required", k.Missing...)
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return located(e, "is not allowed", k.Properties...)
	case *kind.PropertyNames:
		return located(e, "is not allowed as a name", k.Property)
	case *kind.AnyOf:
		return located(e, "fits none of anyOf")
	case *kind.FalseSchema:
		return located(e, "is not allowed")
	case *kind.Enum:
		if len(k.Want) > maxChoices {
			return located(e, fmt.Sprintf("is none of the %d values in enum", len(k.Want)))
		}
	case *kind.Pattern:
		return located(e, "does not match the pattern "+strconv.Quote(k.Want))
	case *kind.Minimum:
		return located(e, "is below the minimum of "+number(k.Want))
	case *kind.Maximum:
		return located(e, "is above the maximum of "+number(k.Want))
	case *kind.ExclusiveMinimum:
		return located(e, "is not above "+number(k.Want))
	case *kind.ExclusiveMaximum:
		return located(e, "is not below "+number(k.Want))
	case *kind.MultipleOf:
		return located(e, "is no multiple of "+number(k.Want))
	}
	alone := jsonschema.ValidationError{ErrorKind: e.ErrorKind}
	return located(e, alone.DetailedOutput().Error.String())
}

// located puts the place before what is wrong with it, or with each of the names in it.
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

func number(n *big.Rat) string {
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// pointer returns the JSON pointer through these names: RFC 6901.
func pointer(names []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + escape.Replace(name))
	}
	return b.String()
}
