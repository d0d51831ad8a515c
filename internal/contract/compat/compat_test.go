package compat_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract/compat"
)

// changes are pairs of schemas, and the place of what breaks programs that were written for the first. It is empty if
// nothing does, and in brackets if only programs notice that read what workers write.
var changes = []struct{ name, before, after, want string }{
	{"nothing", `{"type":"object"}`, `{"type":"object"}`, ""},
	{"a text for people", `{"title":"a","examples":[1]}`, `{"title":"b","description":"c"}`, ""},
	{"a new member", `{"properties":{"a":{}}}`, `{"properties":{"a":{},"b":{"type":"string"}}}`, ""},
	{"the first member", `{"type":"object"}`, `{"type":"object","properties":{"b":{}}}`, ""},
	{"a removed member", `{"properties":{"a":{},"b":{}}}`, `{"properties":{"a":{}}}`, "/properties/b"},
	{"no member any more", `{"properties":{"a":{}}}`, `{}`, "/properties/a"},
	{"a member deep inside", `{"properties":{"a":{"items":{"properties":{"b":{}}}}}}`, `{"properties":{"a":{"items":{"properties":{}}}}}`, "/properties/a/items/properties/b"},
	{"a member that becomes required", `{"required":["a"]}`, `{"required":["a","b"]}`, "/required"},
	{"the first required member", `{}`, `{"required":["b"]}`, "/required"},
	{"a member that may be missing", `{"required":["a","b"]}`, `{"required":["a"]}`, "[/required]"},
	{"another type", `{"type":"string"}`, `{"type":"integer"}`, "/type"},
	{"a type at last", `{}`, `{"type":"string"}`, "/type"},
	{"a wider number", `{"type":"integer"}`, `{"type":"number"}`, "[/type]"},
	{"a narrower number", `{"type":"number"}`, `{"type":"integer"}`, "/type"},
	{"a lower maximum", `{"maximum":5}`, `{"maximum":4}`, "/maximum"},
	{"a higher maximum", `{"maximum":5}`, `{"maximum":6}`, "[/maximum]"},
	{"a new maximum", `{}`, `{"maxLength":6}`, "/maxLength"},
	{"no maximum any more", `{"maxItems":6}`, `{}`, "[/maxItems]"},
	{"a higher minimum", `{"minimum":0}`, `{"minimum":1}`, "/minimum"},
	{"a lower minimum", `{"minLength":1}`, `{"minLength":0}`, "[/minLength]"},
	{"a value less", `{"enum":["a","b"]}`, `{"enum":["a"]}`, "/enum"},
	{"a value more", `{"enum":["a"]}`, `{"enum":["b","a"]}`, "[/enum]"},
	{"a value more of an open list", `{"anyOf":[{"enum":["a"]},{"type":"string"}]}`, `{"anyOf":[{"enum":["a","b"]},{"type":"string"}]}`, ""},
	{"a value less of an open list", `{"anyOf":[{"enum":["a","b"]},{"type":"string"}]}`, `{"anyOf":[{"enum":["a"]},{"type":"string"}]}`, "/anyOf/0/enum"},
	{"an alternative less", `{"anyOf":[{"type":"string"},{"type":"object"}]}`, `{"anyOf":[{"type":"string"}]}`, "/anyOf"},
	{"an alternative more", `{"anyOf":[{"type":"string"}]}`, `{"anyOf":[{"type":"string"},{"type":"object"}]}`, "[/anyOf]"},
	{"a condition more", `{"allOf":[{"not":{}}]}`, `{"allOf":[{"not":{}},{"not":{}}]}`, "/allOf"},
	{"another pattern", `{"pattern":"^a"}`, `{"pattern":"^b"}`, "/pattern"},
	{"no pattern any more", `{"pattern":"^a"}`, `{}`, "[/pattern]"},
	{"another constant", `{"const":1}`, `{"const":2}`, "/const"},
	{"other members are refused", `{}`, `{"additionalProperties":false}`, "/additionalProperties"},
	{"other members are accepted", `{"additionalProperties":false}`, `{}`, "[/additionalProperties]"},
	{"other members have another type", `{"additionalProperties":{"type":"string"}}`, `{"additionalProperties":{"type":"number"}}`, "/additionalProperties/type"},
	{"names become shorter", `{"propertyNames":{"maxLength":64}}`, `{"propertyNames":{"maxLength":32}}`, "/propertyNames/maxLength"},
	{"another id", `{"$id":"urn:a:1"}`, `{"$id":"urn:a:2"}`, "/$id"},
	{"nothing is accepted", `{"items":{}}`, `{"items":false}`, "/items"},
	{"a skipped place", `{"properties":{"skipped":{"type":"string"}}}`, `{"properties":{"skipped":{"type":"number"}}}`, ""},
}

func TestWhatBreaksOlderProgramsIsFound(t *testing.T) {
	for _, tc := range changes {
		for _, by := range []compat.Writers{compat.Users, compat.Workers} {
			want := tc.want
			if inside, ok := strings.CutPrefix(want, "["); ok {
				want = ""
				if by == compat.Workers {
					want = strings.TrimSuffix(inside, "]")
				}
			}
			got, err := compat.Compare([]byte(tc.before), []byte(tc.after), by, "/properties/skipped")
			switch {
			case err != nil:
				t.Errorf("%s: %v", tc.name, err)
			case want == "" && len(got) > 0, want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want+": ")):
				t.Errorf("%s, written by %d: got %q, want %q", tc.name, by, got, want)
			}
		}
	}
}

func TestAllThatIsBrokenIsFoundInOrder(t *testing.T) {
	got, err := compat.Compare([]byte(`{"type":"object","required":["a"],"properties":{"a":{"maxLength":9},"b":{}}}`),
		[]byte(`{"type":"object","required":["a","c"],"properties":{"a":{"maxLength":8},"c":{}}}`), compat.Users)
	want := []string{
		"/properties/a/maxLength: was 9 and is 8",
		"/properties/b: is removed",
		"/required: c is required, and was not",
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestATextThatIsNoSchemaIsNamed(t *testing.T) {
	for _, tc := range [][3]string{{`{`, `{}`, "older"}, {`{}`, `{`, "newer"}} {
		if _, err := compat.Compare([]byte(tc[0]), []byte(tc[1]), compat.Users); err == nil || !strings.Contains(err.Error(), tc[2]) {
			t.Errorf("%s, %s: got %v, want an error about the %s schema", tc[0], tc[1], err, tc[2])
		}
	}
}
