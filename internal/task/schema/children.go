package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/message"
)

// children checks the inside of objects and arrays instead of the validator, which would collect all violations. It checks
// the children in a fixed order, stops after a few violations, and keeps no more of those that each child has.
type children struct {
	meter *meter
	// The year of the draft, or its number if it is older than 2019: 4, 6, 7, 2019 or 2020.
	draft int

	// For objects.
	properties map[string]*jsonschema.Schema
	patterns   map[jsonschema.Regexp]*jsonschema.Schema
	// The keyword additionalProperties: nil, bool or *jsonschema.Schema.
	additional any
	names      *jsonschema.Schema // propertyNames

	// For arrays. Up to 2019-09, prefix is a list in items, and items is additionalItems.
	prefix []*jsonschema.Schema
	// For the items after prefix: nil, bool or *jsonschema.Schema.
	items    any
	contains *jsonschema.Schema
	// minContains and maxContains. They mean nothing without contains.
	least, most *int
	unique      bool
}

// newChildren moves the keywords from the schema, so that the validator does not check them as well. It returns nil if there
// are none.
func newChildren(m *meter, s *jsonschema.Schema) *children {
	c := &children{
		meter: m, draft: s.DraftVersion, properties: s.Properties, patterns: s.PatternProperties,
		additional: s.AdditionalProperties, names: s.PropertyNames, prefix: s.PrefixItems,
		contains: s.Contains, least: s.MinContains, most: s.MaxContains, unique: s.UniqueItems,
	}
	// A nil *Schema in an interface would not be nil.
	if s.Items2020 != nil {
		c.items = s.Items2020
	}
	// Before 2020-12, items was a list or a schema, and additionalItems was for the items after the list.
	if s.DraftVersion < 2020 {
		c.items = s.Items
		if list, ok := s.Items.([]*jsonschema.Schema); ok {
			c.prefix, c.items = list, s.AdditionalItems
		}
	}
	s.Properties, s.PatternProperties, s.AdditionalProperties, s.PropertyNames = nil, nil, nil, nil
	s.PrefixItems, s.Items2020, s.Items, s.AdditionalItems = nil, nil, nil, nil
	s.Contains, s.MinContains, s.MaxContains, s.UniqueItems = nil, nil, nil, false
	if len(c.properties) == 0 && len(c.patterns) == 0 && c.additional == nil && c.names == nil &&
		len(c.prefix) == 0 && c.items == nil && c.contains == nil && !c.unique {
		return nil
	}
	return c
}

// Validate implements jsonschema.SchemaExt. The validator calls it with each value that the schema is
// applied to, after its own keywords and before unevaluatedItems and -Properties. Values without children
// always fit.
func (c *children) Validate(ctx *jsonschema.ValidatorContext, v any) {
	switch v := v.(type) {
	case map[string]any:
		c.object(ctx, v)
	case []any:
		c.array(ctx, v)
	}
}

// found collects the violations in the children of one value.
type found struct {
	*children
	ctx  *jsonschema.ValidatorContext
	kept []*jsonschema.ValidationError
}

// check checks one child and keeps its violations. place is the child's name or index: the last token of
// its JSON pointer.
func (f *found) check(s *jsonschema.Schema, v any, place string) {
	f.keep(f.validate(f.ctx, s, v, place))
}

// validate checks a child with the validator, and returns its violations. It resets the meter's count of
// held violations afterwards: those of the child are garbage, except for the few that found.keep chooses.
func (c *children) validate(ctx *jsonschema.ValidatorContext, s *jsonschema.Schema, v any, place string) error {
	kept := c.meter.kept
	defer func() { c.meter.kept = kept }()
	// A large child is decoded only now, so that it can be freed before the next one is decoded.
	return ctx.Validate(s, c.meter.instance.resolve(v), []string{place})
}

// keep keeps the leaves of the violations of one child. The tree that they were in is not kept: it has a
// node for each level of the schema.
func (f *found) keep(err error) {
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		few := leaves(broken, nil)
		f.meter.keep(len(few))
		f.kept = append(f.kept, few...)
	}
}

// isEnough reports whether there are so many violations that the other children need no check.
func (f *found) isEnough() bool { return len(f.kept) >= maxViolations }

// report passes the violations to the validator. unseen says that some children were not checked.
func (f *found) report(unseen bool) {
	for _, each := range f.kept {
		f.ctx.AddErr(each)
	}
	if unseen {
		f.ctx.AddError(more{})
	}
}

// more is a violation that says that there may be others.
type more struct{ worded }

// worded is a violation with a text of our own. It implements jsonschema.ErrorKind. The validator's kinds
// for minContains and maxContains are not used, because they hold the index of each item that matches.
type worded string

// KeywordPath returns nothing, because it is not printed.
func (worded) KeywordPath() []string { return nil }

// LocalizedString returns the text, in English.
func (w worded) LocalizedString(*message.Printer) string { return string(w) }

// object checks properties, patternProperties, additionalProperties and propertyNames.
func (c *children) object(ctx *jsonschema.ValidatorContext, object map[string]any) {
	f := &found{children: c, ctx: ctx}
	var notAllowed []string // by additionalProperties: false
	seen := 0
	// Sorted, so that the same violations are reported each time.
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if f.isEnough() || len(notAllowed) > maxViolations {
			break
		}
		seen++
		f.checkName(name)
		evaluated := f.member(name, object[name])
		// additionalProperties, whatever its value, evaluates each member that the other two keywords
		// leave.
		switch additional := c.additional.(type) {
		case *jsonschema.Schema:
			if !evaluated {
				f.check(additional, object[name], name)
			}
			evaluated = true
		case bool:
			if !evaluated && !additional {
				notAllowed = append(notAllowed, name)
			}
			evaluated = true
		}
		if evaluated { // for unevaluatedProperties
			ctx.EvaluatedProp(name)
		}
	}
	if len(notAllowed) > 0 {
		c.meter.keep(1)
		ctx.AddError(&kind.AdditionalProperties{Properties: notAllowed})
	}
	f.report(seen < len(object))
}

// checkName checks a name against propertyNames.
func (f *found) checkName(name string) {
	if f.names == nil {
		return
	}
	kept := f.meter.kept
	// A name is not a child, so it is checked on its own, and the place of a violation is that of the
	// object.
	err := f.names.Validate(name)
	f.meter.kept = kept
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		// The validator uses the memory of the location again for the next value. The reason why the name
		// does not fit is dropped.
		broken.InstanceLocation = slices.Clone(f.ctx.ValueLocation())
		broken.ErrorKind, broken.Causes = &kind.PropertyNames{Property: name}, nil
		f.keep(broken)
	}
}

// member checks a member against properties and patternProperties, and reports whether one of them applies to the name.
func (f *found) member(name string, v any) bool {
	s, evaluated := f.properties[name]
	if evaluated {
		f.check(s, v, name)
	}
	// All patterns that match apply, also to a member in properties.
	for pattern, s := range f.patterns {
		if pattern.MatchString(name) {
			evaluated = true
			f.check(s, v, name)
		}
	}
	return evaluated
}

// array checks prefixItems, items, uniqueItems and contains.
func (c *children) array(ctx *jsonschema.ValidatorContext, array []any) {
	if c.unique {
		c.checkUnique(ctx, array)
	}
	f := &found{children: c, ctx: ctx}
	seen := len(array)
	for i, item := range array {
		if f.isEnough() {
			seen = i
			break
		}
		if i < len(c.prefix) {
			f.check(c.prefix[i], item, strconv.Itoa(i))
			continue
		}
		rest, ok := c.items.(*jsonschema.Schema)
		if !ok { // nothing to check, or items: false, which is checked below
			break
		}
		f.check(rest, item, strconv.Itoa(i))
	}
	f.report(seen < len(array))
	if additional, ok := c.items.(bool); ok && !additional && len(array) > len(c.prefix) {
		ctx.AddError(&kind.AdditionalItems{Count: len(array) - len(c.prefix)})
	}
	if c.contains != nil {
		c.checkContains(ctx, array)
	}
}

// checkContains checks contains with minContains and maxContains. It must look at all items, because it marks those that
// match as evaluated.
func (c *children) checkContains(ctx *jsonschema.ValidatorContext, array []any) {
	count := 0
	for i, item := range array {
		// An item that does not match is no violation, so what is wrong with it is dropped at once.
		if c.validate(ctx, c.contains, item, strconv.Itoa(i)) != nil {
			continue
		}
		count++
		// In 2019-09, contains does not evaluate items.
		if c.draft >= 2020 {
			ctx.EvaluatedItem(i)
		}
	}
	c.meter.keep(2) // at most too few and too many
	switch {
	case c.least == nil && count == 0:
		ctx.AddError(&kind.Contains{})
	case c.least != nil && count < *c.least:
		ctx.AddError(worded(fmt.Sprintf("has %d items that match contains, want at least %d", count, *c.least)))
	}
	if c.most != nil && count > *c.most {
		ctx.AddError(worded(fmt.Sprintf("has %d items that match contains, want at most %d", count, *c.most)))
	}
}
