package compat

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// keyword compares a keyword that differs. What it has no rule for, such as a pattern, must stay as it is or go.
func (c *comparison) keyword(place, name string, by change) {
	switch name {
	case "title", "description", "examples", "$comment", "default", "deprecated":
		return
	case "properties":
		c.properties(place, by)
		return
	case "required":
		c.required(place, by)
		return
	case "additionalProperties": // without it, all are accepted
		c.schemas(place, orTrue(by.before, by.had), orTrue(by.after, by.has))
		return
	}
	switch {
	case strings.HasPrefix(name, "$"): // the schema's identity, and what it refers to
		c.report(place, "%v", by)
	case by.had && !by.has:
		c.widened(place, "%v", by)
	case !by.had:
		c.report(place, "%v", by)
	default:
		c.changed(place, name, by)
	}
}

// changed compares a keyword that both schemas have.
func (c *comparison) changed(place, name string, by change) {
	switch {
	case name == "items" || name == "propertyNames":
		c.schemas(place, by.before, by.after)
	case name == "anyOf" || name == "allOf":
		c.alternatives(place, name, by)
	case name == "enum":
		c.enum(place, by)
	case strings.HasPrefix(name, "max"):
		c.bound(place, by, 1)
	case strings.HasPrefix(name, "min"):
		c.bound(place, by, -1)
	case name == "type" && by.before == "integer" && by.after == "number":
		c.widened(place, "%v", by)
	default:
		c.report(place, "%v", by)
	}
}

// properties compares the members of objects. New ones are welcome.
func (c *comparison) properties(place string, by change) {
	old, _ := by.before.(map[string]any)
	now, _ := by.after.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(old)) {
		after, has := now[name]
		if !has {
			c.report(place+"/"+name, "is removed")
			continue
		}
		c.schemas(place+"/"+name, old[name], after)
	}
}

// required compares the names of members that must be there.
func (c *comparison) required(place string, by change) {
	for _, name := range without(by.after, by.before) {
		c.report(place, "%v is required, and was not", name)
	}
	for _, name := range without(by.before, by.after) {
		c.widened(place, "%v was always there, and may be missing", name)
	}
}

// enum compares lists of values.
func (c *comparison) enum(place string, by change) {
	for _, value := range without(by.before, by.after) {
		c.report(place, "%v is removed", value)
	}
	for _, value := range without(by.after, by.before) {
		c.widened(place, "%v is new", value)
	}
}

// bound compares a largest number (direction 1) or a least one (-1).
func (c *comparison) bound(place string, by change, direction float64) {
	before, wasNumber := by.before.(float64)
	after, isNumber := by.after.(float64)
	if wasNumber && isNumber && (after-before)*direction > 0 {
		c.widened(place, "%v", by)
		return
	}
	c.report(place, "%v", by)
}

// alternatives compares the schemas of anyOf and allOf one by one. More of them widen anyOf and narrow allOf.
func (c *comparison) alternatives(place, name string, by change) {
	old, _ := by.before.([]any)
	now, _ := by.after.([]any)
	inside := *c
	inside.broken = nil
	inside.open = c.open || name == "anyOf" && len(old) > 1
	for i := range min(len(old), len(now)) {
		inside.schemas(fmt.Sprintf("%s/%d", place, i), old[i], now[i])
	}
	c.broken = append(c.broken, inside.broken...)
	isMore := len(now) > len(old)
	switch {
	case len(now) == len(old):
	case isMore == (name == "anyOf"):
		c.widened(place, "%v", by)
	default:
		c.report(place, "%v", by)
	}
}

// orTrue returns a schema that may be left out.
func orTrue(schema any, there bool) any {
	if !there {
		return true
	}
	return schema
}

// without returns the values of a list that another one does not have.
func without(list, other any) (missing []any) {
	values, _ := list.([]any)
	others, _ := other.([]any)
	for _, value := range values {
		if !slices.ContainsFunc(others, func(o any) bool { return reflect.DeepEqual(o, value) }) {
			missing = append(missing, value)
		}
	}
	return missing
}
