package task

import (
	"encoding/json"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// RequestSchema returns the schema of a request: what ParseRequest accepts, as far as a JSON Schema can say it. It comes
// from the table that ParseRequest reads by.
func RequestSchema() *jsonschema.Schema {
	s := &jsonschema.Schema{
		Title:       "Request of a task",
		Description: "A browser task for Anchor. Publish it to the subject tasks.request. Every body that Anchor's perform-web-task accepts is a valid request; Capstan adds a few fields of its own. A member that is not named here is refused.",
		Type:        "object", Required: []string{"prompt"}, AdditionalProperties: false,
		AnyOf:    []*jsonschema.Schema{{Required: []string{"url"}}, {Required: []string{"sessionId"}}},
		Examples: requestExamples(),
	}
	for _, f := range fields() {
		s.Properties = append(s.Properties, f.property())
		if isVendorField(f.name) {
			s.AllOf = append(s.AllOf, notBoth(f.name))
		}
	}
	s.AllOf = append(s.AllOf, notBesideSessionID()...)
	return s
}

// notBesideSessionID refuses what checkSession refuses.
func notBesideSessionID() []*jsonschema.Schema {
	both := func(name string) *jsonschema.Schema { return &jsonschema.Schema{Required: []string{"sessionId", name}} }
	fence := both(onUnknownField)
	fence.Properties = jsonschema.Properties{{Name: onUnknownField, Schema: oneOf(Fence)}}
	return []*jsonschema.Schema{{Not: both("session")}, {Not: both("browser")}, {Not: fence}}
}

// property returns the schema of a field, with its meaning.
func (f field) property() jsonschema.Property {
	value := f.schema()
	value.Description = jsonschema.Sentence(f.meaning)
	return jsonschema.Property{Name: f.name, Schema: value}
}

// notBoth refuses a field that is a member of extra as well.
func notBoth(name string) *jsonschema.Schema {
	repeated := &jsonschema.Schema{Type: "object", Required: []string{name}}
	return &jsonschema.Schema{Not: &jsonschema.Schema{
		Required: []string{name, "extra"}, Properties: jsonschema.Properties{{Name: "extra", Schema: repeated}},
	}}
}

// extraParameters has no name of a field, in any case, except those of vendor clients as they are written.
func extraParameters() *jsonschema.Schema {
	var names, vendor []string
	for _, f := range fields() {
		names = append(names, inAnyCase(f.name))
		if isVendorField(f.name) {
			vendor = append(vendor, f.name)
		}
	}
	isField := &jsonschema.Schema{Pattern: "^(" + strings.Join(names, "|") + ")$"}
	s := anyObject()
	s.PropertyNames = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Enum: vendor}, {Not: isField}}}
	return s
}

// inAnyCase returns the pattern of the names that strings.EqualFold takes for this one.
func inAnyCase(name string) string {
	var pattern strings.Builder
	for _, char := range name {
		all := string(char)
		for other := unicode.SimpleFold(char); other != char; other = unicode.SimpleFold(other) {
			all += string(other)
		}
		if all != string(char) {
			all = "[" + all + "]"
		}
		pattern.WriteString(all)
	}
	return pattern.String()
}

// requestExamples are a short request, one with most of Capstan's own fields, and one for workers with SESSIONS=on.
func requestExamples() []json.RawMessage {
	return []json.RawMessage{
		json.RawMessage(`{"task_id": "ord-1842", "url": "https://example.com", "prompt": "Extract the main heading"}`),
		json.RawMessage(`{
			"task_id": "ord-1843", "batch": "night", "url": "https://example.com/login", "prompt": "Log in with the PIN and read the balance",
			"max_steps": 40, "secret_refs": {"PIN": "shop/pin"},
			"output_schema": {"type": "object", "properties": {"balance": {"type": "number"}}, "required": ["balance"]},
			"timeout": "10m", "expires_at": "2026-11-24T06:00:00Z", "on_unknown_submission": "fail",
			"retries": 2, "retry_on": ["workflow_failed", "timeout"], "retry_with": [{"agent": "openai-cua"}, {"max_steps": 80}],
			"metadata": {"order": 1843}
		}`),
		json.RawMessage(`{
			"task_id": "ord-1844", "url": "https://example.com", "prompt": "Order the blue one", "on_unknown_submission": "fence",
			"session": {"timeout": {"max_duration": 15}, "recording": {"active": false}}, "browser": {"profile": {"name": "shop"}}
		}`),
	}
}
