package request_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/request"
)

func TestAnObjectKeepsTheBytesOfItsMembers(t *testing.T) {
	o, err := request.Parse([]byte("\ufeff { \"n\" : 1e2, \"s\":\"\\u0041\\n\", \"n\": [1.0, {}] } "))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(o.JSON()), `{"n":1e2,"s":"\u0041\n","n":[1.0, {}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := string(o.Get("n")) + " " + o.Text("s") + " " + o.Text("n") + o.Text("none"); got != "1e2 A\n " || o.Get("none") != nil {
		t.Errorf("got %q, want the first member of a name, and only strings as texts", got)
	}
	if got, want := string(o.With("n", request.Quote("x\xff\"")).JSON()), `{"n":"x�\"","s":"\u0041\n"}`; got != want {
		t.Errorf("replaced: got %s, want %s", got, want)
	}
	if got, want := string(request.Object{}.With("a", []byte("7")).JSON()), `{"a":7}`; got != want {
		t.Errorf("added: got %s, want %s", got, want)
	}
}

func TestOnlyATextThatIsOneObjectIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"": "is not a JSON object", "[]": "is not a JSON object", `"a"`: "is not a JSON object", "name,url": "is not a JSON object",
		"{": "is not JSON: ", `{"a"`: "is not JSON: ", `{"a":}`: "is not JSON: ", `{"a":1,}`: "is not JSON: ",
		`{"a":1 "b":2}`: "is not JSON: ", "{} {}": "has more after its JSON object", "{}x": "has more after its JSON object",
	} {
		if o, err := request.Parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, o, err, want)
		}
	}
}

func TestTheRulesAreThoseOfWorkers(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for id, isGood := range map[string]bool{"a": true, "A-b_c.d=1": true, "": false, "a b": false, "a..b": false, "\u202ea": false, "a\x00": false, long: false} {
		if err := request.CheckTaskID(id); (err == nil) != isGood {
			t.Errorf("task %.20q: got %v, want good: %v", id, err, isGood)
		}
		if err := request.CheckBatch(id); (err == nil) != isGood {
			t.Errorf("batch %.20q: got %v, want good: %v", id, err, isGood)
		}
	}
	if err := request.CheckField("max_steps", []byte("7")); err != nil {
		t.Errorf("got %v, want none", err)
	}
	if err := request.CheckField("max_steps", request.Quote("7")); err == nil || !strings.HasPrefix(err.Error(), "max_steps must be") {
		t.Errorf("got %v, want the rule", err)
	}
}

func TestATemplateIsFilledInItsStringsOnly(t *testing.T) {
	tmpl, err := request.ParseTemplate([]byte(`{"a\n": "{{ x }}-{{y}}", "b": [{"c": "\u007b{x}}"}], "d": 1e2}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tmpl.Columns(), " "); got != "x y x" {
		t.Errorf("got the columns %s, want x y x", got)
	}
	got := string(tmpl.Fill(func(column string) string { return column + "\"{{z}}" }))
	if want := `{"a\n": "x\"{{z}}-y\"{{z}}", "b": [{"c": "x\"{{z}}"}], "d": 1e2}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzAnObjectIsWrittenAsItWasRead(f *testing.F) {
	for _, text := range []string{"{}", `{"a":1,"a":[2]}`, "\ufeff{\"\xff\":\"\\ud800\"}", `{"a":{"b":"\u2028"}} `, "{", "[1]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := request.Parse(text)
		if err != nil {
			return
		}
		again, err := request.Parse(o.JSON())
		if err != nil || !bytes.Equal(again.JSON(), o.JSON()) {
			t.Errorf("got %s, %v, want %s", again.JSON(), err, o.JSON())
		}
	})
}
