package dashboard_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/capstan-worker/capstan/internal/task"
)

// pagesToSee are the pages, with something that each of them says.
func pagesToSee() map[string]string {
	return map[string]string{
		"/": "Ended in the last 6 hours", "/tasks": "5 tasks", "/tasks?state=failed": "1 task", "/tasks/runs": "runs has run since", "/tasks/bad": "stopped after 20 steps",
		"/tasks/good": "good succeeded", "/batches": "2 of 4", "/batches/night": "Dead letters", "/dead-letters": "step_limit", "/pause": "would wait",
		"/resume": "No operator has paused", "/cancel?batch=night": "This ends 2 tasks", "/redrive?code=step_limit": "1 task of code step_limit", "/tasks/nobody": "There is no trace",
	}
}

// nameOf returns a page as the name of a file.
func nameOf(path string) string {
	name := strings.Trim(strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(path), "-")
	if name == "" {
		return "overview"
	}
	return name
}

func TestEachPageFitsEachWindow(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, token)
	for _, size := range []struct {
		name   string
		width  int64
		scheme string
	}{{"wide-light", 1280, "light"}, {"wide-dark", 1280, "dark"}, {"zoom-light", 640, "light"}, {"narrow-light", 360, "light"}, {"narrow-dark", 360, "dark"}} {
		w := b.open(s, sized(size.width, 800, size.scheme))
		w.visit("/login")
		w.screenshot(size.name + "-login")
		w.fits("/login")
		w.logInOnce()
		for path, says := range pagesToSee() {
			w.visit(path)
			w.await(says)
			w.fits(path)
			w.screenshot(size.name + "-" + nameOf(path))
		}
	}
}

// logInOnce logs in, unless another window of the browser has.
func (w *window) logInOnce() {
	w.t.Helper()
	w.visit("/")
	if !strings.Contains(w.text(), "Log out") {
		w.logIn()
	}
}

// fits fails the test if the page is wider than the window.
func (w *window) fits(path string) {
	w.t.Helper()
	if wide := eval[int](w, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		widest := eval[string](w, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 120)).slice(0, 3).join("\n")`)
		w.t.Errorf("%s: got a page that is %d px too wide:\n%s", path, wide, widest)
	}
}

func TestEachActWorksInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, token)
	w := b.open(s)
	w.logIn()

	w.click("Pause…")
	w.await("2 tasks would wait")
	w.run(chromedp.SendKeys(`input[name=reason]`, "maintenance"), chromedp.SetValue(`select[name=for]`, "1h"))
	w.click("Pause")
	w.await("Submissions are paused.", "maintenance")
	w.click("Resume…")
	w.click("Resume")
	w.await("Submissions are resumed.")

	w.visit("/tasks/runs")
	w.click("Cancel…")
	w.await("It ends at once with the code canceled")
	w.run(chromedp.SendKeys(`input[name=reason]`, "wrong customer"+kb.Enter))
	w.await("Task runs is canceled. It was running.")

	w.visit("/batches/night")
	w.click("Cancel…")
	w.click("Cancel 2 tasks")
	w.await("Batch night is canceled: 2 tasks will end")

	w.visit("/dead-letters")
	w.click("Run again…")
	w.await("0 tasks of code step_limit, host slow.example would run again. Nothing has been sent.", "its batch is canceled")
}

func TestARedriveChangesFields(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, token)
	w := b.open(s)
	w.logIn()
	w.visit("/dead-letters")
	w.click("Run again…")
	w.await("1 task of code step_limit, host slow.example would run again")
	w.run(chromedp.SendKeys(`textarea[name=set]`, "max_steps=120"))
	w.click("Look again")
	w.run(chromedp.WaitReady(`input[name=set][value="max_steps=120"]`)) // of the new page
	w.click("Run 1 task again")
	w.await("1 task sent to the queue again.")
	w.visit("/tasks/bad.r1")
	w.await(`"max_steps": 120`)
	w.click("Log out")
	w.await("Token")
}

func TestTwoWindowsShowTheSame(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, token)
	first, second := b.open(s), b.open(s)
	first.logIn()
	second.visit("/")
	second.await("Ended in the last 6 hours")
	first.click("Pause…")
	first.click("Pause")
	second.await("Submissions are paused by dashboard") // without a reload
	second.click("Resume…")
	second.click("Resume")
	second.await("Submissions are resumed.")
	first.awaitNot("Submissions are paused by dashboard")
}

func TestNATSIsAwayAndComesBackInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, "")
	w := b.open(s)
	w.visit("/tasks")
	w.await("runs")
	s.Server.Stop()
	w.await("NATS is unreachable. The figures are from")
	s.Server.Restart()
	w.awaitNot("NATS is unreachable")
	s.finish(task.Record{TaskID: "runs"}, task.Event{Result: json.RawMessage(`1`)})
	natsBack := `[...document.querySelectorAll("tr")].some(r => r.innerText.includes("runs") && r.innerText.includes("succeeded"))`
	valueOf(w, chromedp.Poll[bool](natsBack))
}

func TestEverythingWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, token)
	w := b.open(s, withoutScripts())
	w.logIn()
	for path, says := range pagesToSee() {
		w.visit(path)
		w.await(says)
	}
	w.visit("/")
	w.await("Reload the page for newer ones.")
	w.visit("/tasks")
	w.run(chromedp.SetValue(`#f-id`, "go"))
	w.click("Filter")
	w.await("1 task", "good")
	w.visit("/")
	w.click("Pause…")
	w.click("Pause")
	w.await("Submissions are paused.")
}

func TestThePageIsUsedWithTheKeyboard(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := filledSite(t, "")
	w := b.open(s)
	w.visit("/tasks")
	w.run(chromedp.KeyEvent(kb.Tab))
	if got := eval[string](w, `document.activeElement.textContent`); got != "Skip to the content" {
		t.Errorf("first tab: got %q, want the link that skips the navigation", got)
	}
	w.run(chromedp.KeyEvent(kb.Enter))
	if got := eval[string](w, `document.activeElement.id`); got != "main" {
		t.Errorf("after it: got the focus on %q, want main", got)
	}
	// Each link and field has an outline when the keyboard reaches it.
	w.run(chromedp.KeyEvent(kb.Tab))
	if got := eval[string](w, `getComputedStyle(document.activeElement).outlineStyle`); got != "solid" {
		t.Errorf("outline: got %q, want solid", got)
	}
}

func TestHostileTextsDoNothingInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, "")
	s.record(task.Record{TaskID: "evil", State: task.Running, Host: attack, Batch: attack, Owner: attack})
	s.finish(task.Record{TaskID: "result"}, task.Event{Result: json.RawMessage(quoted(t, strings.Repeat(attack, 5_000)))})
	s.eventually("/tasks", "2 tasks")
	w := b.open(s, sized(360, 800, "light"))
	for _, path := range []string{"/", "/tasks", "/tasks/evil", "/tasks/result", "/batches"} {
		w.visit(path)
		w.fits(path)
	}
	w.visit("/tasks/evil")
	s.finish(task.Record{TaskID: "evil"}, task.Event{Error: task.NewError(task.AgentFailed, attack)}) // arrives by a live update
	w.await("agent_failed", "<script>alert(1)</script>")
}
