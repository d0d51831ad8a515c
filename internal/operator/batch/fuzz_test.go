package batch_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator/batch"
)

func FuzzACellStaysOneString(f *testing.F) {
	for _, cell := range []string{"", "plain", `x", "max_steps": 1, "y": "`, "{{name}} }} {{", "\\\"\n\x00\u2028\u202e", "\U0001f600"} {
		f.Add(cell)
	}
	cfg, err := app.LoadToolConfig()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		if !utf8.ValidString(cell) || strings.Contains(cell, "\r") { // refused, and changed by CSV itself
			return
		}
		var text bytes.Buffer
		rows := csv.NewWriter(&text)
		if err := rows.WriteAll([][]string{{"name", "url"}, {cell, "https://shop.example.com/"}}); err != nil {
			t.Fatal(err)
		}
		b, err := batch.Read(batch.File{
			Name: "a.csv", Data: text.Bytes(), Template: []byte(`{"prompt":"p {{name}} q","url":"{{url}}"}`), Batch: "night",
		}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(b.Requests[0].Data, &got); err != nil || len(got) != 4 || got["prompt"] != "p "+cell+" q" {
			t.Errorf("got %s, %v, want %q in the prompt", b.Requests[0].Data, err, cell)
		}
	})
}
