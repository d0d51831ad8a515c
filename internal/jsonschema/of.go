package jsonschema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Of returns the schema of a struct, as encoding/json writes it. The tag desc of each field is the description of its
// member. A member is required unless its tag has omitempty or omitzero, and other members are allowed: a later version
// may have more. Of panics on a field that it has no schema for, and on one without a desc.
func Of[T any]() *Schema { return ofStruct(reflect.TypeFor[T]()) }

func ofStruct(t reflect.Type) *Schema {
	s := &Schema{Type: "object"}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		described := field.Tag.Get("desc")
		if name == "" || described == "" {
			panic(fmt.Sprintf("jsonschema: %v.%s has no json name or no desc", t, field.Name))
		}
		value := ofType(field.Type)
		value.Description = Sentence(described)
		s.Properties = append(s.Properties, Property{name, value})
		if !strings.Contains(options, "omit") {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

// ofType returns the schema of a field's type.
func ofType(t reflect.Type) *Schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return &Schema{}
	}
	switch t.Kind() {
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &Schema{Type: "integer"}
	case reflect.Uint64:
		return &Schema{Type: "integer", Minimum: new(int64(0))}
	case reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Pointer:
		return ofType(t.Elem())
	case reflect.Slice:
		return &Schema{Type: "array", Items: ofType(t.Elem())}
	case reflect.Struct:
		return ofStruct(t)
	default:
		panic(fmt.Sprintf("jsonschema: no schema for a field of type %v", t))
	}
}

// Sentence returns a description, which may begin in lower case, with a capital and a full stop.
func Sentence(described string) string {
	return strings.TrimSuffix(strings.ToUpper(described[:1])+described[1:], ".") + "."
}
