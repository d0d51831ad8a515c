package task_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestTheSchemaOfARequestDiffersFromTheParserOnlyAsListed(t *testing.T) {
	schema := requestSchema()
	for _, each := range contracttest.Differences() {
		wantRow(t, each.Name)
		for i, example := range append(each.Examples, each.Both...) {
			_, err := task.ParseRequest(delivery(example), defaults)
			if err == nil || !strings.Contains(err.Error(), each.Rule) {
				t.Errorf("%s: %.100s: got %v, want a refusal with %q", each.Name, example, err, each.Rule)
			}
			misfit := schema.Check([]byte(example))
			switch isBoth := i >= len(each.Examples); {
			case isBoth && misfit == nil:
				t.Errorf("%s: %.100s fits the schema, which can state that", each.Name, example)
			case !isBoth && misfit != nil:
				t.Errorf("%s: %.100s: the schema refuses it as well, so it is no difference: %v", each.Name, example, misfit)
			}
		}
	}
	const marked = contracttest.ByteOrderMark + `{"prompt":"p","sessionId":"s"}`
	parse(t, marked)
	if schema.Check([]byte(marked)) == nil {
		t.Error("a request after a byte order mark fits the schema, so it is no difference")
	}
	wantRow(t, "a byte order mark")
}

func TestTheSchemaOfARequestRefusesWhatTheParserRefuses(t *testing.T) {
	refused := 0
	for _, tc := range violations {
		_, err := task.ParseRequest(delivery(tc.data), defaults)
		requestSchema().Agree(t, []byte(tc.data), err)
		if requestSchema().Check([]byte(tc.data)) != nil {
			refused++
		}
	}
	if least := len(violations) / 2; refused < least {
		t.Errorf("the schema refuses %d of %d requests, want more than %d", refused, len(violations), least)
	}
}

// Whichever characters a text has, parser and schema agree whether it is blank.
func TestTheSchemaKnowsTheSameBlanks(t *testing.T) {
	chars := []rune{'\ufeff', '\u180e', '\u200b'} // blanks in other languages
	for char := rune(1); char <= unicode.MaxRune; char++ {
		if char <= 0xff || unicode.IsSpace(char) {
			chars = append(chars, char, char+1)
		}
	}
	for _, char := range chars {
		data := `{"url":"https://a.example","prompt":` + marshal(t, string(char)) + `}`
		_, err := task.ParseRequest(delivery(data), defaults)
		requestSchema().Agree(t, []byte(data), err)
	}
}

// Case does not count in names in extra, and a few letters of other scripts are another case of Latin ones.
func TestTheSchemaKnowsTheSameNamesInExtra(t *testing.T) {
	for _, name := range []string{
		"prompt", "PROMPT", "prompts", "tas\u212a_id", "\u017fessionId", "sessionid", "async", "timeout ",
		"use_vision", "Use_vision", "u\u017fe_vision", "directlyOpenUrl", "directlyopenurl",
	} {
		for _, more := range []string{"", `,"use_vision":true`, `,"directly_open_url":true`} {
			data := with(`"extra":{` + marshal(t, name) + `:1}` + more)
			_, err := task.ParseRequest(delivery(data), defaults)
			requestSchema().Agree(t, []byte(data), err)
		}
	}
}

// FuzzRequestSchema looks for requests about which the parser and the schema disagree.
func FuzzRequestSchema(f *testing.F) {
	for _, tc := range violations {
		if len(tc.data) < 100<<10 { // longer ones take their time and teach nothing
			f.Add([]byte(tc.data))
		}
	}
	for _, seed := range append(requestSeeds(), accepted()...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := task.ParseRequest(delivery(string(data)), defaults)
		requestSchema().Agree(t, data, err)
	})
}
