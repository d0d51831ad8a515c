package schema

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// describes returns how the schema describes a member. It looks for properties among the children, because
// install has moved them there.
func (c *compiled) describes(member string) Description {
	if own := childrenOf(c.root); own != nil && own.properties[member] != nil {
		return Outright
	}
	if implies(c.root, member, map[*jsonschema.Schema]bool{}) {
		return Implied
	}
	return NotDescribed
}

// implies reports whether a schema, or another that it applies to the same value, describes the member. seen prevents
// endless loops.
func implies(s *jsonschema.Schema, member string, seen map[*jsonschema.Schema]bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	// unevaluatedProperties describes each member that no other keyword does.
	if slices.Contains(s.Required, member) || s.UnevaluatedProperties != nil {
		return true
	}
	if own := childrenOf(s); own != nil && own.describes(member) {
		return true
	}
	return slices.ContainsFunc(inPlace(s), func(part *jsonschema.Schema) bool { return implies(part, member, seen) })
}

// describes reports whether one of the schemas for members applies to this member and is more than true.
func (c *children) describes(member string) bool {
	if c.properties[member] != nil {
		return true
	}
	for each := range c.patterns {
		if p, ok := each.(*pattern); ok && p.matchesName(member) {
			return true
		}
	}
	additional, ok := c.additional.(*jsonschema.Schema)
	return ok && (additional.Bool == nil || !*additional.Bool)
}

// childrenOf returns the keywords of a schema for the inside of objects and arrays, or nil.
func childrenOf(s *jsonschema.Schema) *children {
	for _, each := range s.Extensions {
		if c, ok := each.(*children); ok {
			return c
		}
	}
	return nil
}
