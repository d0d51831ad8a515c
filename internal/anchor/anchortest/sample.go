package anchortest

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxSampleDepth bounds how deep a made-up value is nested, and maxSampleValues of how many values it consists: a schema can
// refer to itself.
const (
	maxSampleDepth  = 12
	maxSampleValues = 10_000
)

// Sample is an Agent that makes a result up, without a look at any page: a value that fits the task's output_schema as far
// as types, enum, const, properties, items and bounds go, or a sentence if there is no schema. It never fails.
func Sample(_ context.Context, t Task) (any, error) {
	if len(t.OutputSchema) == 0 {
		return "This result is made up: the stand-in has no browser.", nil
	}
	var root map[string]any
	_ = json.Unmarshal(t.OutputSchema, &root) // a task's schema is an object
	return (&sampler{root: root}).value(root, 0), nil
}

// sampler makes values up that fit a schema.
type sampler struct {
	root map[string]any
	made int // values so far
}

// value returns a value for a schema, or null beyond the bounds and for what it does not understand.
func (s *sampler) value(schema any, depth int) any {
	object, ok := schema.(map[string]any)
	s.made++
	if !ok || depth > maxSampleDepth || s.made > maxSampleValues {
		return nil
	}
	if ref, ok := object["$ref"].(string); ok {
		return s.value(s.resolve(ref), depth+1)
	}
	if constant, ok := object["const"]; ok {
		return constant
	}
	for _, name := range []string{"enum", "examples"} {
		if choices, ok := object[name].([]any); ok && len(choices) > 0 {
			return choices[0]
		}
	}
	if byDefault, ok := object["default"]; ok {
		return byDefault
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		if choices, ok := object[name].([]any); ok && len(choices) > 0 {
			return s.value(choices[0], depth+1)
		}
	}
	return s.ofType(s.merged(object, depth), depth)
}

// merged returns the schema with the members of its allOf.
func (s *sampler) merged(schema map[string]any, depth int) map[string]any {
	parts, ok := schema["allOf"].([]any)
	if !ok || depth > maxSampleDepth {
		return schema
	}
	all := map[string]any{}
	properties := map[string]any{}
	for _, part := range append(parts, schema) {
		object, _ := part.(map[string]any)
		if ref, ok := object["$ref"].(string); ok {
			object, _ = s.resolve(ref).(map[string]any)
		}
		maps.Copy(all, object)
		found, _ := object["properties"].(map[string]any)
		maps.Copy(properties, found)
	}
	delete(all, "allOf")
	if len(properties) > 0 {
		all["properties"] = properties
	}
	return all
}

// resolve returns the part of the schema to which a reference such as #/$defs/price leads, or nil.
func (s *sampler) resolve(ref string) any {
	path, isLocal := strings.CutPrefix(ref, "#")
	if !isLocal {
		return nil
	}
	var found any = s.root
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if name == "" {
			continue
		}
		object, _ := found.(map[string]any)
		found = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return found
}

// ofType returns a value of the schema's type, or of the first type of a list that is not null.
func (s *sampler) ofType(schema map[string]any, depth int) any {
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok && len(kinds) > 0 {
		i := slices.IndexFunc(kinds, func(k any) bool { return k != "null" })
		kind, _ = kinds[max(i, 0)].(string)
	}
	_, hasProperties := schema["properties"].(map[string]any)
	switch {
	case kind == "object" || kind == "" && hasProperties:
		return s.object(schema, depth)
	case kind == "array":
		return s.array(schema, depth)
	case kind == "string":
		return sampleString(schema)
	case kind == "integer":
		return math.Ceil(sampleNumber(schema, 1))
	case kind == "number":
		return sampleNumber(schema, 0.5)
	case kind == "boolean":
		return true
	case kind == "":
		return "sample"
	default:
		return nil
	}
}

// object returns an object with all properties.
func (s *sampler) object(schema map[string]any, depth int) map[string]any {
	made := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		made[name] = s.value(property, depth+1)
	}
	return made
}

// array returns a list with as many items as there must be, one at least, and at most 100.
func (s *sampler) array(schema map[string]any, depth int) []any {
	least, _ := schema["minItems"].(float64)
	most, hasMost := schema["maxItems"].(float64)
	n := min(max(int(least), 1), 100)
	if hasMost {
		n = min(n, int(most))
	}
	made := []any{}
	for range n {
		made = append(made, s.value(schema["items"], depth+1))
	}
	return made
}

// sampleString returns a text of the schema's format and length.
func sampleString(schema map[string]any) string {
	switch schema["format"] {
	case "date-time":
		return "2026-01-02T15:04:05Z"
	case "date":
		return "2026-01-02"
	case "time":
		return "15:04:05Z"
	case "email":
		return "sample@example.com"
	case "uri", "url", "uri-reference":
		return "https://example.com/"
	case "uuid":
		return "123e4567-e89b-42d3-a456-426614174000"
	}
	text := "sample"
	if least, ok := schema["minLength"].(float64); ok && int(least) > len(text) {
		text = strings.Repeat("a", min(int(least), 10_000))
	}
	if most, ok := schema["maxLength"].(float64); ok && most >= 0 && int(most) < len(text) {
		text = text[:int(most)]
	}
	return text
}

// sampleNumber returns a number within the schema's bounds. step keeps it off a bound that is excluded.
func sampleNumber(schema map[string]any, step float64) float64 {
	n := 1.0
	if most, ok := schema["maximum"].(float64); ok {
		n = min(n, most)
	}
	if below, ok := schema["exclusiveMaximum"].(float64); ok {
		n = min(n, below-step)
	}
	if least, ok := schema["minimum"].(float64); ok {
		n = max(n, least)
	}
	if above, ok := schema["exclusiveMinimum"].(float64); ok {
		n = max(n, above+step)
	}
	if multiple, ok := schema["multipleOf"].(float64); ok && multiple > 0 && !math.IsInf(n/multiple, 0) {
		n = math.Ceil(n/multiple) * multiple
	}
	return n
}
