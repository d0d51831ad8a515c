package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAnOpenListKeepsItsRowsAndTheFocus(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, "")
	now := time.Now().UTC()
	for i := range 60 {
		s.record(task.Record{TaskID: fmt.Sprintf("t%02d", i), State: task.Running, UpdatedAt: now.Add(-time.Duration(i) * time.Second)})
	}
	s.eventually("/tasks", "60 tasks")
	w := b.open(s, sized(1280, 500, "light"))
	w.visit("/tasks")
	w.run(chromedp.Focus("#task-30"))
	top := eval[float64](w, `document.getElementById("task-30").getBoundingClientRect().top`)
	s.record(task.Record{TaskID: "t30", State: task.Succeeded})
	s.record(task.Record{TaskID: "newer", State: task.Running})
	w.await("succeeded", "1 other task has changed since")
	if got := eval[float64](w, `document.getElementById("newest").getBoundingClientRect().top`); got < 0 {
		t.Errorf("got the link to the newest %v px above the window, want it in sight", -got)
	}
	if got := eval[string](w, `document.activeElement.id`); got != "task-30" {
		t.Errorf("focus: got %q, want task-30", got)
	}
	if got := eval[float64](w, `document.getElementById("task-30").getBoundingClientRect().top`); got != top {
		t.Errorf("got the row at %v, want it at %v as before", got, top)
	}
	if got := eval[string](w, `document.getElementById("task-30").textContent`); got != "t30" {
		t.Errorf("got %q in the row, want t30", got)
	}
	w.click("show the newest")
	w.await("newer", "61 tasks")
}

func TestAnEmptyListFillsByItself(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, "")
	all, queue := b.open(s), b.open(s)
	all.visit("/tasks")
	queue.visit("/tasks?state=queued")
	all.await("No task fits this filter.")
	queue.await("No task fits this filter.")
	s.request("first")
	all.await("first", "1 task")
	queue.await("first", "1 task")
	s.request("second")
	all.await("1 other task has changed since") // the list with a row keeps it in place
	queue.await("1 task has joined the queue since")
	if got := all.text(); strings.Contains(got, "second") {
		t.Errorf("got %s, want the new task only after a click", got)
	}
}

func TestAnEmptyListWaitsForWhoeverChangesItsFilter(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, "")
	w := b.open(s)
	w.visit("/tasks")
	w.run(chromedp.SendKeys("#f-id", "fir"))
	s.request("second")
	w.await("1 other task has changed since")
	if got := eval[string](w, `document.getElementById("f-id").value`); got != "fir" || strings.Contains(w.text(), "second") {
		t.Errorf("got the field %q on\n%s\nwant what was typed, and the list as it was", got, w.text())
	}
}

func TestAFilterChangesTheListAndItsAddress(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, "")
	w := b.open(s)
	w.visit("/tasks")
	eval[bool](w, `const f = document.getElementById("f-state"); f.value = "failed"; f.dispatchEvent(new Event("change", {bubbles: true}))`)
	w.await("1 task")
	if got := eval[string](w, `location.pathname + location.search`); !strings.Contains(got, "state=failed") {
		t.Errorf("got the address %s, want the filter in it", got)
	}
	s.finish(task.Record{TaskID: "runs"}, task.Event{Error: task.NewError(task.Timeout, "too slow")})
	w.await("1 other task has changed since") // the new list is live
	w.run(chromedp.NavigateBack())
	w.await("5 tasks")
}
