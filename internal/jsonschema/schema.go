// Package jsonschema writes JSON Schemas, draft 2020-12: those that describe Capstan's own messages to other programs.
//
// A [Schema] has the keywords that they need. They mean the same in draft 7, from which AsyncAPI's schemas come, so that
// one schema serves both. [Of] returns the schema of a Go struct. Package task/schema checks the schemas of requests,
// and does not use this one.
package jsonschema

import (
	"bytes"
	"encoding/json"
)

// Dialect is the value of $schema.
const Dialect = "https://json-schema.org/draft/2020-12/schema"

// Schema is a JSON Schema. The zero Schema accepts everything. Keywords are written in the order of the fields, and left
// out if they are empty.
type Schema struct {
	Dialect     string `json:"$schema,omitempty"`
	ID          string `json:"$id,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`

	Type  string   `json:"type,omitempty"`
	Const any      `json:"const,omitempty"`
	Enum  []string `json:"enum,omitempty"`

	Format    string `json:"format,omitempty"`
	Pattern   string `json:"pattern,omitempty"`
	MinLength *int   `json:"minLength,omitempty"` // in characters, as MaxLength
	MaxLength *int   `json:"maxLength,omitempty"`
	Minimum   *int64 `json:"minimum,omitempty"`
	Maximum   *int64 `json:"maximum,omitempty"`

	Items    *Schema `json:"items,omitempty"`
	MinItems *int    `json:"minItems,omitempty"`
	MaxItems *int    `json:"maxItems,omitempty"`

	Required             []string   `json:"required,omitempty"`
	Properties           Properties `json:"properties,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // false or a *Schema
	PropertyNames        *Schema    `json:"propertyNames,omitempty"`
	MaxProperties        *int       `json:"maxProperties,omitempty"`

	AllOf []*Schema `json:"allOf,omitempty"`
	AnyOf []*Schema `json:"anyOf,omitempty"`
	Not   *Schema   `json:"not,omitempty"`
	If    *Schema   `json:"if,omitempty"`
	Then  *Schema   `json:"then,omitempty"`
	Else  *Schema   `json:"else,omitempty"`

	Examples []json.RawMessage `json:"examples,omitempty"`
}

// Property is a member that an object can have.
type Property struct {
	Name   string
	Schema *Schema
}

// Properties are the members that an object can have, in the order in which they are written.
type Properties []Property

// MarshalJSON returns an object with the schema of each member.
func (p Properties) MarshalJSON() ([]byte, error) {
	var object bytes.Buffer
	enc := json.NewEncoder(&object)
	enc.SetEscapeHTML(false)
	object.WriteByte('{')
	for i, each := range p {
		if i > 0 {
			object.WriteByte(',')
		}
		if err := enc.Encode(each.Name); err != nil {
			return nil, err
		}
		object.WriteByte(':')
		if err := enc.Encode(each.Schema); err != nil {
			return nil, err
		}
	}
	object.WriteByte('}')
	return object.Bytes(), nil
}

// Property returns the schema of a member, which may be changed. It panics if there is none: only a programmer can ask
// for it.
func (s *Schema) Property(name string) *Schema {
	for _, each := range s.Properties {
		if each.Name == name {
			return each.Schema
		}
	}
	panic("jsonschema: no property " + name)
}
