//go:build !nodemo

package main

import (
	"bufio"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestCheckPrintsALineOfJSONForEachResult(t *testing.T) {
	t.Parallel()
	w := newChecked(t)
	run := newTool(t, append(slices.Clone(w.env), "MAX_IN_FLIGHT=\x1b\u009b", "MAX_INFLIGHT=1"), "check", "--json")
	if got := run.status(t); got != exitFailed || !strings.Contains(run.err.String(), "1 check failed") {
		t.Errorf("got %d, %s, want %d and how many failed", got, &run.err, exitFailed)
	}
	levels := map[string]int{}
	for lines := bufio.NewScanner(strings.NewReader(run.out.String())); lines.Scan(); {
		var result struct{ Level, Subject, Text string }
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&result); err != nil || result.Subject == "" || result.Text == "" || strings.ContainsAny(lines.Text(), "\x1b\u009b") {
			t.Errorf("got %q, %v, want level, subject and text, and no control characters", lines.Text(), err)
		}
		levels[result.Level]++
	}
	if levels["bad"] != 1 || levels["warn"] == 0 || levels["ok"] == 0 || len(levels) != 3 {
		t.Errorf("got levels %v, want ok, warn and one bad", levels)
	}
}
