// Package compat compares a schema with the one that was released before, so that programs that were written for that one
// keep working.
//
// Between two releases a schema may get new members that nobody has to set, and other texts for people. Nothing may be
// removed, narrowed or made required. What users write may be widened. What workers write may not, because programs that
// read it would meet what they do not know; only an enum with an alternative beside it (anyOf) may have more values.
package compat

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Writers says who writes the values of a schema.
type Writers int

// The writers.
const (
	Users Writers = iota
	Workers
)

// Compare returns what in the newer schema breaks programs that were written for the older one: each with its place, in the
// order of the places. It does not look at the places that it is told to skip, such as "/properties/extra". The error says
// which schema cannot be read.
func Compare(older, newer []byte, by Writers, skip ...string) ([]string, error) {
	var before, after any
	if err := json.Unmarshal(older, &before); err != nil {
		return nil, fmt.Errorf("read the older schema: %w", err)
	}
	if err := json.Unmarshal(newer, &after); err != nil {
		return nil, fmt.Errorf("read the newer schema: %w", err)
	}
	c := comparison{by: by, skip: skip}
	c.schemas("", before, after)
	slices.Sort(c.broken)
	return c.broken, nil
}

// comparison collects what is broken.
type comparison struct {
	by     Writers
	skip   []string
	open   bool // an alternative beside the present schema accepts other values
	broken []string
}

func (c *comparison) report(place, format string, args ...any) {
	c.broken = append(c.broken, place+": "+fmt.Sprintf(format, args...))
}

// schemas compares two schemas: objects or booleans.
func (c *comparison) schemas(place string, before, after any) {
	if slices.Contains(c.skip, place) || reflect.DeepEqual(before, after) {
		return
	}
	old, wasObject := before.(map[string]any)
	now, isObject := after.(map[string]any)
	switch {
	case wasObject && isObject:
		c.keywords(place, old, now)
	case before == false: // what was refused is accepted
		c.widened(place, "accepts what it refused")
	default:
		c.report(place, "was %s and is %s", shown(before), shown(after))
	}
}

// widened reports a change that only readers notice.
func (c *comparison) widened(place, format string, args ...any) {
	if c.by == Workers && !c.open {
		c.report(place, format, args...)
	}
}

// keywords compares all keywords of two schemas.
func (c *comparison) keywords(place string, old, now map[string]any) {
	names := maps.Clone(old)
	maps.Copy(names, now)
	for name := range names {
		before, had := old[name]
		after, has := now[name]
		if !slices.Contains(c.skip, place+"/"+name) && !reflect.DeepEqual(before, after) {
			c.keyword(place+"/"+name, name, change{before, after, had, has})
		}
	}
}

// change is a keyword of two schemas.
type change struct {
	before, after any
	had, has      bool
}

// String returns what was and what is.
func (c change) String() string {
	switch {
	case !c.had:
		return "was not there and is " + shown(c.after)
	case !c.has:
		return "was " + shown(c.before) + " and is not there"
	default:
		return "was " + shown(c.before) + " and is " + shown(c.after)
	}
}

// shown returns a value as JSON, in at most 80 bytes.
func shown(value any) string {
	const most = 80
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}
