package task

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

// violations puts the validator's findings into words, in a fixed order: "/heading: is required; …".
func violations(e *jsonschema.ValidationError) error {
	all := leaves(e, nil)
	slices.SortStableFunc(all, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(slices.Compare(a.InstanceLocation, b.InstanceLocation), strings.Compare(a.SchemaURL, b.SchemaURL))
	})
	var told []string
	for len(all) > 0 && len(told) < maxViolations {
		told = append(told, finding(all[0])...)
		all = all[1:]
	}
	more := len(all) + max(0, len(told)-maxViolations)
	told = told[:min(len(told), maxViolations)]
	if more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(slices.Compact(told), "; "))
}

// leaves appends the ends of the tree of findings. Of alternatives only their failing is told: why each
// failed says nothing about which was meant.
func leaves(e *jsonschema.ValidationError, to []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Contains, *kind.MinContains, *kind.PropertyNames:
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

// finding says what is wrong at one place, or at the places of the names that are missing or too many.
// It quotes the schema, and of the instance no more than names and what should be a pattern.
func finding(e *jsonschema.ValidationError) []string {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return at(e, "is required", k.Missing...)
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return at(e, "is not allowed", k.Properties...)
	case *kind.PropertyNames:
		return at(e, "is not allowed as a name", k.Property)
	case *kind.AnyOf:
		return at(e, "fits none of anyOf")
	case *kind.FalseSchema:
		return at(e, "is not allowed")
	case *kind.Enum:
		if len(k.Want) > maxChoices {
			return at(e, fmt.Sprintf("is none of the %d values in enum", len(k.Want)))
		}
	case *kind.Pattern:
		return at(e, "does not match the pattern "+strconv.Quote(k.Want))
	case *kind.Format:
		if k.Want == "regex" {
			return at(e, "is no regex: "+k.Err.Error())
		}
		return at(e, "is no "+k.Want)
	case *kind.Minimum:
		return at(e, "is below the minimum of "+number(k.Want))
	case *kind.Maximum:
		return at(e, "is above the maximum of "+number(k.Want))
	case *kind.ExclusiveMinimum:
		return at(e, "is not above "+number(k.Want))
	case *kind.ExclusiveMaximum:
		return at(e, "is not below "+number(k.Want))
	case *kind.MultipleOf:
		return at(e, "is no multiple of "+number(k.Want))
	}
	alone := jsonschema.ValidationError{ErrorKind: e.ErrorKind}
	return at(e, alone.DetailedOutput().Error.String())
}

// at puts the place before what is wrong with it, or with each of the names in it.
func at(e *jsonschema.ValidationError, what string, names ...string) []string {
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
