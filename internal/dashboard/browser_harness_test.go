package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// browser is a Chromium of the test's own.
type browser struct {
	t      *testing.T
	window func() (context.Context, context.CancelFunc) // the context of a new window
}

// newBrowser starts Chromium. Without one it skips the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("NO BROWSER: the dashboard is not tested as people see it. Install chromium (apt-get install chromium)")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900))
	ctx, stopAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() { stopBrowser(); stopAllocator() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, window: func() (context.Context, context.CancelFunc) { return chromedp.NewContext(ctx) }}
}

// window is a window of a browser. Whatever the browser complains of fails the test.
type window struct {
	t      *testing.T
	site   *site
	within func(time.Duration) (context.Context, context.CancelFunc) // its context, for a while
}

// action is what a window does.
type action = chromedp.Action[chromedp.Void]

// open opens a window.
func (b *browser) open(s *site, setUp ...action) *window {
	b.t.Helper()
	ctx, cancel := b.window()
	b.t.Cleanup(cancel)
	w := &window{t: b.t, site: s, within: func(d time.Duration) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }}
	if err := chromedp.Do(ctx); err != nil { // a context with a deadline would bound the life of the window
		b.t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, w.complain); err != nil {
		b.t.Fatal(err)
	}
	for _, enable := range []cdp.Command[cdp.Empty, cdp.Empty]{log.Enable, runtime.Enable, audits.Enable} {
		w.run(command(enable, cdp.Empty{}))
	}
	w.run(command(page.Enable, page.EnableParams{}))
	w.run(setUp...)
	return w
}

// command returns a command of the protocol as an action.
func command[P any](cmd cdp.Command[P, cdp.Empty], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// complain fails the test for what the browser reports: errors in the console, violations of the policy, and dialogs.
func (w *window) complain(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "status of 4") { // a page of that status is wanted
			w.t.Errorf("console: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			w.t.Errorf("console: %s", e.Args[0].Value)
		}
	case *runtime.EventExceptionThrown:
		w.t.Errorf("script: %s, %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *audits.EventIssueAdded:
		if d := e.Issue.Details; d != nil && d.ContentSecurityPolicyIssueDetails != nil {
			w.t.Errorf("policy: %s, %s", d.ContentSecurityPolicyIssueDetails.ViolatedDirective, d.ContentSecurityPolicyIssueDetails.BlockedURL)
		}
	case *page.EventJavascriptDialogOpening:
		w.t.Errorf("dialog: %s", e.Message)
	}
}

// run runs actions, each within half a minute.
func (w *window) run(actions ...action) {
	w.t.Helper()
	for _, each := range actions {
		valueOf(w, each)
	}
}

// valueOf runs an action within half a minute, and returns its value. An action that has found an element which a live
// update replaces just then has done nothing: it runs again, on the new one.
func valueOf[T any](w *window, a chromedp.Action[T]) T {
	w.t.Helper()
	ctx, cancel := w.within(30 * time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	for isGone(err) {
		value, err = chromedp.Run(ctx, a)
	}
	if err != nil {
		w.t.Fatalf("browser: %v, on\n%s", err, w.text())
	}
	return value
}

// isGone reports whether an action failed because its element was no longer there.
func isGone(err error) bool {
	failure, ok := errors.AsType[*cdproto.Error](err)
	return ok && failure.Message == "Could not find node with given id"
}

// visit opens a page.
func (w *window) visit(path string) {
	w.t.Helper()
	w.run(chromedp.Navigate(w.site.url+path), chromedp.WaitReady("main"))
}

// text returns what the page says.
func (w *window) text() string {
	ctx, cancel := w.within(5 * time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// await waits until the page says a text.
func (w *window) await(wants ...string) {
	w.t.Helper()
	for _, want := range wants {
		natstest.Eventually(w.t, func() error {
			if got := w.text(); !strings.Contains(got, want) {
				return fmt.Errorf("got the page\n%s\nwant it to say %q", got, want)
			}
			return nil
		})
	}
}

// awaitNot waits until the page does not say a text.
func (w *window) awaitNot(unwanted string) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if got := w.text(); strings.Contains(got, unwanted) {
			return fmt.Errorf("got the page\n%s\nwant it without %q", got, unwanted)
		}
		return nil
	})
}

// click clicks a link or a button with a text.
func (w *window) click(text string) {
	w.t.Helper()
	w.run(chromedp.Click(fmt.Sprintf(`//*[self::a or self::button][contains(normalize-space(.), %q)]`, text)))
}

// eval returns the value of an expression.
func eval[T any](w *window, expression string) T {
	w.t.Helper()
	return valueOf(w, chromedp.Evaluate[T](expression))
}

// logIn logs in with the form.
func (w *window) logIn() {
	w.t.Helper()
	w.visit("/")
	w.run(chromedp.SendKeys(`input[name=token]`, token))
	w.click("Log in")
	w.await("Overview", "Log out")
}

// withoutScripts turns JavaScript off.
func withoutScripts() action {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// sized sets the size of the window, and whether the system is dark.
func sized(width, height int64, scheme string) action {
	return chromedp.Steps(chromedp.EmulateViewport(width, height), command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}

// screenshot keeps a picture of the page in the folder CAPSTAN_SCREENSHOTS, if that is set.
func (w *window) screenshot(name string) {
	w.t.Helper()
	dir := os.Getenv("CAPSTAN_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture := valueOf(w, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		w.t.Fatal(err)
	}
}
