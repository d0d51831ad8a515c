package contract_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/test/node"
)

// Patterns and keywords mean the same to a validator in JavaScript, whose patterns are ECMA-262.
func TestAnotherValidatorReadsTheSchemasTheSame(t *testing.T) {
	t.Parallel()
	for _, each := range schemas() {
		values := examplesOf(t, each)
		if each.Name == "request" {
			for _, difference := range contracttest.Differences() {
				values = append(append(values, difference.Examples...), difference.Both...)
			}
			for _, members := range []string{
				`"session":{}`, `"session":{"tags":["a"]}`, `"session":{"tags":[1]}`, `"session":{"timeout":1}`, `"session":{},"sessionId":"s"`,
				`"browser":{},"sessionId":"s"`, `"on_unknown_submission":"fence"`, `"on_unknown_submission":"fence","sessionId":"s"`,
				`"on_unknown_submission":"fail","sessionId":"s"`,
			} {
				values = append(values, `{"prompt":"p","url":"https://a.example",`+members+`}`)
			}
		}
		schema := contracttest.Load(each.Name)
		var in bytes.Buffer
		var want []string
		for _, value := range values {
			// JavaScript has no bytes that are not UTF-8, and its leap seconds are a matter of the library.
			if !utf8.ValidString(value) || strings.Contains(value, ":60Z") {
				continue
			}
			line, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			in.Write(append(line, '\n'))
			want = append(want, map[bool]string{true: "true", false: "false"}[schema.Check([]byte(value)) == nil])
		}
		file, err := filepath.Abs(filepath.Join(folder, each.File))
		if err != nil {
			t.Fatal(err)
		}
		cmd := node.Command(t.Context(), t, "testdata/schema.mjs")
		cmd.Args = append(cmd.Args, file)
		cmd.Stdin = &in
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v\n%s", each.Name, err, out)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: value %d: got %s in JavaScript, want %s as in Go", each.Name, i, got[i], want[i])
			}
		}
	}
}
