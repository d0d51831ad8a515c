package task

import (
	"math"
	"slices"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// The schemas of the values that fields of a request can have. Patterns are in the part of ECMA-262 that RE2 has as well.

func anyText() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} }

func anyBool() *jsonschema.Schema { return &jsonschema.Schema{Type: "boolean"} }

func anyObject() *jsonschema.Schema { return &jsonschema.Schema{Type: "object"} }

// notBlank is a text that strings.TrimSpace leaves something of. A validator's \s may be another set of characters.
func notBlank() *jsonschema.Schema {
	const blanks = "\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
	return &jsonschema.Schema{Type: "string", Pattern: "[^" + blanks + "]"}
}

// webAddress is a text that begins as readURL wants it.
func webAddress() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[\x00-\x20]*[Hh][Tt][Tt][Pp][Ss]?://[^/?#]`}
}

func sessionID() *jsonschema.Schema {
	s := notBlank()
	s.MaxLength = new(maxSessionID)
	return s
}

// sessionToCreate is what readSession accepts.
func sessionToCreate() *jsonschema.Schema {
	tags := &jsonschema.Schema{Description: "Tags of the session. Capstan adds its own.", Type: "array", MaxItems: new(maxTags), Items: anyText()}
	timeout := &jsonschema.Schema{Description: "max_duration and idle_timeout, in minutes. Capstan adds what is missing.", Type: "object"}
	view := &jsonschema.Schema{Description: "Its live view. With SESSION_LIVE_VIEW=on, Capstan adds read_only, unless it is given.", Type: "object"}
	s := anyObject()
	s.Properties = jsonschema.Properties{{Name: "tags", Schema: tags}, {Name: "timeout", Schema: timeout}, {Name: "live_view", Schema: view}}
	return s
}

func stepCount() *jsonschema.Schema { return integer(1, math.MaxInt32) }

func retryCount() *jsonschema.Schema { return integer(0, maxRetries) }

func integer(least, most int64) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: &least, Maximum: &most}
}

func taskName() *jsonschema.Schema { return nameUpTo(maxTaskID) }

func batchName() *jsonschema.Schema { return nameUpTo(LongestBatch) }

// nameUpTo is a name, see isName, of at most so many bytes: each of its characters has one.
func nameUpTo(most int) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[A-Za-z0-9]((\.?[A-Za-z0-9_=-])*\.?[A-Za-z0-9])?$`, MaxLength: &most}
}

func secretTexts() *jsonschema.Schema { return secrets(anyText()) }

// secretFiles has paths whose elements are neither empty nor "." nor "..".
func secretFiles() *jsonschema.Schema {
	const (
		inside  = `\\\x00-\x1f\x7f` // what isSecretFile refuses anywhere
		element = `([^./` + inside + `]|\.[^./` + inside + `]|\.\.[^/` + inside + `])[^/` + inside + `]*`
	)
	return secrets(&jsonschema.Schema{Type: "string", Pattern: "^" + element + "(/" + element + ")*$", MaxLength: new(maxSecretFile)})
}

// secrets is an object whose members have names of secrets.
func secrets(value *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "object", MaxProperties: new(maxSecrets),
		PropertyNames: &jsonschema.Schema{MaxLength: new(maxSecretName)}, AdditionalProperties: value,
	}
}

// duration is in the notation of time.ParseDuration.
func duration() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|` + "\u00b5s|\u03bcs" + `|ms|s|m|h))+$`}
}

// dateTime has a pattern as well, because format is checked only by validators that are told to.
func dateTime() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Format: "date-time", Pattern: rfc3339Pattern}
}

func onUnknown() *jsonschema.Schema { return oneOf(OnUnknowns()...) }

// oneOf is one of these texts.
func oneOf[T ~string](texts ...T) *jsonschema.Schema {
	s := anyText()
	for _, each := range texts {
		s.Enum = append(s.Enum, string(each))
	}
	return s
}

func retryCodes() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", MaxItems: new(maxRetryOn), Items: oneOf(Retriable()...)}
}

func retryChanges() *jsonschema.Schema {
	each := anyObject()
	each.AdditionalProperties = false
	for _, f := range fields() {
		if slices.Contains(changeable(), f.name) {
			each.Properties = append(each.Properties, f.property())
		}
	}
	return &jsonschema.Schema{Type: "array", MaxItems: new(maxRetries), Items: each}
}
