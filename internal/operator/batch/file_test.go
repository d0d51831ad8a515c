package batch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
)

const template = `{"prompt": "Price of {{name}}: {{ name }}", "url": "{{url}}", "metadata": {"rows": [1, "{{note}}"], "plain": "{}"}}`

// readCSV reads a CSV file with the template.
func readCSV(t *testing.T, text string) (*batch.Batch, error) {
	t.Helper()
	return batch.Read(batch.File{
		Name: "orders.csv", Data: []byte(text), Template: []byte(template), TemplateName: "req.json", Batch: "night",
	}, operatortest.Config(t))
}

func TestEachRowFillsTheTemplate(t *testing.T) {
	t.Parallel()
	b, err := readCSV(t, "\ufeffname,url, note,unused\r\nknots,https://a.example,plain,x\r\n"+
		"\"a \"\"quoted\"\", thing\",https://b.example,\"two\nlines \\ {{name}} \u009b\",\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Requests) != 2 {
		t.Fatalf("got %d requests, want 2", len(b.Requests))
	}
	for i, want := range []struct{ id, place, prompt, note string }{
		{"night-000002", "orders.csv:2", "Price of knots: knots", "plain"},
		{"night-000003", "orders.csv:3", `Price of a "quoted", thing: a "quoted", thing`, "two\nlines \\ {{name}} \u009b"},
	} {
		var got struct {
			TaskID   string `json:"task_id"`
			Batch    string
			Prompt   string
			Metadata struct{ Rows []any }
		}
		if err := json.Unmarshal(b.Requests[i].Data, &got); err != nil {
			t.Fatal(err)
		}
		if got.TaskID != want.id || got.Batch != "night" || got.Prompt != want.prompt || got.Metadata.Rows[1] != want.note || b.Requests[i].Place != want.place {
			t.Errorf("got %+v at %s, want %+v", got, b.Requests[i].Place, want)
		}
	}
}

// Whoever fills the file must not be able to change the request beyond the strings of the template.
func TestACellStaysOneString(t *testing.T) {
	t.Parallel()
	evil := `x", "max_steps": 1, "y": "`
	b, err := readCSV(t, "name,url,note\n\""+strings.ReplaceAll(evil, `"`, `""`)+"\",https://a.example,n\n")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Requests[0].Data, &got); err != nil {
		t.Fatal(err)
	}
	if got["prompt"] != "Price of "+evil+": "+evil || got["max_steps"] != nil {
		t.Errorf("got %v, want the cell inside the prompt", got)
	}
}

func TestMistakesInACSVNameTheLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown column":   {"name,link,note\na,b,c\n", `orders.csv:1: has no column "url"`},
		"semicolons":       {"name;url;note\na;b;c\n", `["name;url;note"]`},
		"column twice":     {"name,url,note,url\na,b,c,d\n", `orders.csv:1: has the column "url" twice`},
		"short row":        {"name,url,note\na,https://a.example,c\n\nb,https://a.example\n", "orders.csv:4: has 2 fields, but the header has 3"},
		"open quote":       {"name,url,note\n\"a,b,c\nd,e,f\n", "orders.csv:2: has a quoted field that does not end"},
		"quote inside":     {"name,url,note\na \"b\",https://a.example,c\n", "orders.csv:2: has a quote inside a field"},
		"not UTF-8":        {"name,url,note\ncaf\xe9,https://a.example,c\n", "orders.csv:2: is not UTF-8"},
		"UTF-16":           {"\xff\xfen\x00a\x00", "orders.csv:1: is not UTF-8"},
		"empty":            {"", "orders.csv has no requests"},
		"only a header":    {"name,url,note\n", "orders.csv has no requests"},
		"a worker refuses": {"name,url,note\na,ftp://a.example,c\n", "orders.csv:2: url must be"},
	} {
		if _, err := readCSV(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestATemplateThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for tmpl, want := range map[string]string{
		`{"max_steps": {{n}}}`: "a {{column}} must stand inside a string",
		`["{{a}}"]`:            "is not a JSON object",
		``:                     "is not a JSON object",
		`{"{{a}}": "x"}`:       "in the name of a member",
		`{"prompt": "{{a"}`:    "has {{ without }}",
		`{"prompt": "{{ }}"}`:  "without the name of a column",
		`{"prompt": "x"} {}`:   "has more after its JSON object",
	} {
		f := batch.File{Name: "a.csv", Data: []byte("a\nb\n"), Template: []byte(tmpl), TemplateName: "req.json", Batch: "b"}
		if _, err := batch.Read(f, operatortest.Config(t)); err == nil || !strings.Contains(err.Error(), "req.json "+want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", tmpl, err, want)
		}
	}
}

func TestFormatsAreRecognized(t *testing.T) {
	t.Parallel()
	one, two := operatortest.Request("a"), operatortest.Request("a")+"\r\n\r\n"+operatortest.Request("b")
	for _, c := range []struct {
		file batch.File
		want batch.Format
	}{
		{batch.File{Name: "x.json", Data: []byte(one)}, batch.JSON},
		{batch.File{Name: "x.json", Data: []byte("{\n\"a\":1}\n")}, batch.JSON},
		{batch.File{Name: "x", Data: []byte(two)}, batch.JSONLines},
		{batch.File{Name: "x.NDJSON", Data: []byte(one)}, batch.JSONLines},
		{batch.File{Name: "x.jsonl"}, batch.JSONLines},
		{batch.File{Name: "x.csv"}, batch.CSV},
		{batch.File{Name: "-", Template: []byte("{}")}, batch.CSV},
	} {
		if got := batch.Recognize(c.file); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.file.Name, c.file.Data, got, c.want)
		}
	}
}

func TestIDsAreMadeFromTheBatchAndTheLine(t *testing.T) {
	t.Parallel()
	text := "\ufeff" + operatortest.Request("own") + "\r\n\n" + `{"prompt":"p","url":"https://a.example","max_steps":1e0}` + "\n" + `{"prompt":"p","url":"https://a.example","batch":"night"}`
	text = strings.Replace(text, "1e0", "10", 1)
	b, err := batch.Read(batch.File{Name: "x.jsonl", Data: []byte(text), Batch: "night"}, operatortest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range b.Requests {
		ids = append(ids, r.TaskID)
		if strings.Count(string(r.Data), `"batch":"night"`) != 1 {
			t.Errorf("got %s, want it to have the batch", r.Data)
		}
	}
	if got, want := fmt.Sprint(ids), "[own night-000003 night-000004]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestsWithoutABatchKeepTheirBytes(t *testing.T) {
	t.Parallel()
	const line = `{ "task_id": "a",  "prompt": "\u0070", "url": "https://a.example", "max_steps": 7 }`
	b, err := batch.Read(batch.File{Name: "x.jsonl", Data: []byte(line + "\n")}, operatortest.Config(t))
	if err != nil || string(b.Requests[0].Data) != line {
		t.Errorf("got %v, %v, want the line as it is", b, err)
	}
}

func TestMistakesInLinesAreNamedAndCounted(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(operatortest.Request("a") + "\n" + operatortest.Request("a") + "\n")
	text.WriteString(`{"prompt":"p","url":"https://a.example"}` + "\n[\n{\n" + operatortest.Request("b", `"urll":"x"`) + "\n" + operatortest.Request("c", `"retries":6`) + "\n" + operatortest.Request("TASKS-7") + "\n" + operatortest.Request("d", `"secret_values":{"PIN":"hunter2"},"metadata":7`) + "\n")
	text.WriteString(strings.Repeat("x\n", 50))
	for i := range 20 {
		fmt.Fprintf(&text, "%s\n", operatortest.Request("e", fmt.Sprintf(`"max_steps":-%d`, i)))
	}
	_, err := batch.Read(batch.File{Name: "x.jsonl", Data: []byte(text.String())}, operatortest.Config(t))
	mistakes, ok := errors.AsType[*batch.MistakesError](err)
	if !ok || len(mistakes.Shown) != 20 || mistakes.More != 9 || !strings.HasSuffix(err.Error(), "\nand 9 more") {
		t.Fatalf("got %v, want 20 mistakes and 9 more", err)
	}
	for i, want := range []string{
		"x.jsonl:2: task_id a is also at x.jsonl:1", "x.jsonl:3: has no task_id; add one, or use --batch", "x.jsonl:4: is a JSON array", "x.jsonl:5: is not JSON",
		`x.jsonl:6: unknown field "urll"; did you mean "url"?`, "x.jsonl:7: retries must be", "x.jsonl:8: task_id must not be of the form TASKS-<number>", "x.jsonl:9: metadata must be",
		"x.jsonl:10: is not a JSON object", "x.jsonl:60: max_steps must be",
	} {
		if !strings.HasPrefix(mistakes.Shown[i].String(), want) {
			t.Errorf("got %q, want %q", mistakes.Shown[i], want)
		}
	}
	if want := " (and 49 more lines)"; !strings.HasSuffix(mistakes.Shown[8].String(), want) {
		t.Errorf("got %q, want %q at its end", mistakes.Shown[8], want)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want it without the secret", err)
	}
}

func TestABatchThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "-a", strings.Repeat("x", 65), "a/b", "a*", "ü"} {
		if _, err := batch.Read(batch.File{Name: "x.jsonl", Data: []byte(operatortest.Request("a")), Batch: name}, operatortest.Config(t)); err == nil || !strings.Contains(err.Error(), "batch must be 1 to 64") {
			t.Errorf("%q: got %v, want the rule", name, err)
		}
	}
	f := batch.File{Name: "x.jsonl", Data: []byte(operatortest.Request("a", `"batch":"day"`)), Batch: "night"}
	if _, err := batch.Read(f, operatortest.Config(t)); err == nil || !strings.Contains(err.Error(), `batch is "day", but --batch is "night"`) {
		t.Errorf("got %v, want both batches", err)
	}
}
