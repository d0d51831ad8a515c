package task_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/task"
)

// What fits the schema of a control value is understood as it was written. Everything else is obeyed as well, and its text
// is the reason.
func TestWhatFitsTheSchemaOfAControlValueIsUnderstood(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cancel, pause := contracttest.Load("cancel"), contracttest.Load("pause")
	for _, tc := range []struct {
		value  string
		fits   bool
		reason string
		by     string
		at     time.Time
	}{
		{value: `{"reason":"r","by":"ada","at":"2026-01-02T03:04:05Z","until":"2026-01-02T03:04:05Z","new":1}`, fits: true, reason: "r", by: "ada", at: at},
		{value: `{}`, fits: true},
		{value: `"r"`, fits: true, reason: "r"},
		{value: `{"reason":"r","at":"today","until":"today"}`, reason: "r"},
		{value: `{"reason":"` + strings.Repeat("x", 257) + `"}`, reason: strings.Repeat("x", 256) + "…"},
		{value: `wrong customer`, reason: "wrong customer"},
		{value: `7`, reason: "7"},
		{value: ``},
	} {
		for name, schema := range map[string]contracttest.Schema{"cancel": cancel, "pause": pause} {
			if err := schema.Check([]byte(tc.value)); (err == nil) != tc.fits {
				t.Errorf("%s: %q: got %v, want that it fits: %v", name, tc.value, err, tc.fits)
			}
		}
		if c := task.ParseCancellation([]byte(tc.value)); tc.fits && (c != task.Cancellation{Reason: tc.reason, By: tc.by, At: tc.at}) {
			t.Errorf("%q: got %+v", tc.value, c)
		}
		if p := task.ParsePause([]byte(tc.value)); p.Reason != tc.reason || p.By != tc.by || !p.Until.Equal(tc.at) {
			t.Errorf("%q: got %+v", tc.value, p)
		}
	}
	wantRow(t, "reasons that are no JSON")
}
