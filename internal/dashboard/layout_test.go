package dashboard_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const longHost = "www.internalprocurement.westeurope.suppliers.longcompanyname.example.com"

// busySite returns a dashboard with tasks whose names are as long as those of a large installation.
func busySite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "")
	for i := range 4 {
		id := fmt.Sprintf("order-2026-11-26-%04d.r1", i)
		r := task.Record{TaskID: id, Batch: "nightly-price-check", Host: longHost, Owner: "worker-6f9c8d7b5-x2x4q", State: task.Running}
		if i%2 == 0 {
			s.finish(r, task.Event{Error: task.NewError(task.StepLimit, "x")})
			s.letter(id, "step_limit", longHost, r.Batch, "{}")
			continue
		}
		s.record(r)
	}
	s.eventually("/tasks", "4 tasks")
	s.eventually("/dead-letters", "2 tasks")
	return s
}

// insideWords is an expression: the names of tables that break elsewhere than behind a dot, a hyphen or an underscore.
const insideWords = `[...document.querySelectorAll("td .pieces")].filter(name => {
  const walker = document.createTreeWalker(name, NodeFilter.SHOW_TEXT), all = [];
  for (let node; (node = walker.nextNode());) for (let i = 0; i < node.length; i++) {
    const range = document.createRange();
    range.setStart(node, i);
    range.setEnd(node, i + 1);
    all.push([node.data[i], range.getBoundingClientRect().top]);
  }
  return all.some(([, top], i) => i > 0 && Math.abs(top - all[i - 1][1]) > 4 && !".-_".includes(all[i - 1][0]));
}).map(name => name.textContent).join(" ")`

func TestNamesDoNotBreakInsideWords(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := busySite(t)
	for _, width := range []int64{1200, 1000, 400} {
		w := b.open(s, sized(width, 900, "light"))
		for _, path := range []string{"/", "/tasks", "/dead-letters", "/dead-letters?code=step_limit", "/batches"} {
			w.visit(path)
			w.fits(path)
			if got := eval[string](w, insideWords); got != "" {
				t.Errorf("%s at %d px: got %s broken inside of words, want that only behind dots and hyphens", path, width, got)
			}
		}
	}
}

func TestATaskInAListTakesAtMostThreeLinesOfANarrowWindow(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := busySite(t)
	for i := range 3 {
		s.request(fmt.Sprint("queued", i), `"batch":"nightly-price-check"`)
	}
	s.record(task.Record{TaskID: "waits", Host: longHost, Owner: "worker-6f9c8d7b5-x2x4q", State: task.Waiting, WaitsFor: task.ForPlan, WaitsUntil: time.Now().Add(time.Hour)})
	s.eventually("/tasks", "8 tasks")
	for width, most := range map[int64]float64{400: 24*3 + 17, 360: 24*4 + 17} { // px of the lines, and the space around them
		w := b.open(s, sized(width, 900, "light"))
		for path, rows := range map[string]int{"/tasks": 8, "/tasks?state=queued": 3} {
			w.visit(path)
			w.fits(path)
			if got := eval[int](w, `document.querySelectorAll("tbody tr").length`); got != rows {
				t.Errorf("%s: got %d rows, want %d", path, got, rows)
			}
			if got := eval[float64](w, `Math.max(...[...document.querySelectorAll("tbody tr")].map(row => row.getBoundingClientRect().height))`); got > most {
				t.Errorf("%s at %d px: got a task of %.0f px, want at most %.0f", path, width, got, most)
			}
		}
	}
}
