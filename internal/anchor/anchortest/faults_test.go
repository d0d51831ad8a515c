package anchortest_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// statusCall polls a workflow and returns what the client sees.
func statusCall(t *testing.T, s *anchortest.Server, id string) (status int, answer string, header http.Header) {
	t.Helper()
	status, answer, header, err := call(t, s, "GET", webTask+"/"+id+"/status", "")
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return status, answer, header
}

func TestGatewayPagesAreNotInTheFormOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]anchortest.Fault{
		"404 text": anchortest.NoBackend(), "404 page": anchortest.HTML(404), "400 page": anchortest.HTML(400),
		"502 text": anchortest.Text(502, "upstream is away"), "407": anchortest.HTML(407),
	} {
		s := start(t, planned(anchortest.Plan{Submit: []anchortest.Fault{fault}, Poll: []anchortest.Fault{fault}}))
		status, answer, header, err := call(t, s, "POST", webTask, body("x"))
		if err != nil || status != fault.Status || answer != fault.Body || header.Get("Content-Type") == "application/json" {
			t.Errorf("%s: got %d %s %v of %s, want the page", name, status, answer, err, header.Get("Content-Type"))
		}
		_, id := submit(t, s, body("x"))
		if status, answer, _ := statusCall(t, s, id); status != fault.Status || answer != fault.Body {
			t.Errorf("%s: got %d %s of a poll, want the page", name, status, answer)
		}
		if log := s.Log("x"); log.Doubtful != 0 && fault.Status < 500 {
			t.Errorf("%s: got %d doubtful submissions, want none", name, log.Doubtful)
		}
	}
}

func TestAFaultCanLastForATime(t *testing.T) {
	t.Parallel()
	const lasts = 300 * time.Millisecond
	s := start(t, planned(anchortest.Plan{
		Submit: []anchortest.Fault{anchortest.HTML(404).During(lasts)},
		Poll:   []anchortest.Fault{anchortest.NotYet().During(lasts), anchortest.State("QUEUED")},
	}))
	untilGood := func(call func() bool) time.Duration {
		began := time.Now()
		for !call() && t.Context().Err() == nil {
			continue
		}
		return time.Since(began)
	}
	var id string
	if took := untilGood(func() bool { _, id = submit(t, s, body("x")); return id != "" }); took < lasts {
		t.Errorf("a submission succeeded after %v, want %v", took, lasts)
	}
	if posts := s.Log("x").Posts; posts < 2 {
		t.Errorf("got %d POSTs, want several", posts)
	}
	var answer string
	if took := untilGood(func() bool { answer = poll(t, s, id); return !strings.Contains(answer, "workflow not found") }); took < lasts*9/10 {
		t.Errorf("a poll succeeded after %v, want %v", took, lasts)
	}
	if !strings.Contains(answer, "QUEUED") {
		t.Errorf("got %s, want the next fault of the list", answer)
	}
}

func TestAPromptCanCarryALastingFault(t *testing.T) {
	t.Parallel()
	prompt, err := anchortest.Prompt("x", anchortest.Plan{Poll: []anchortest.Fault{anchortest.NotYet().During(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	_, id := submit(t, s, body(prompt))
	if status, _, _ := statusCall(t, s, id); status != 404 {
		t.Errorf("got %d, want 404", status)
	}
}

func TestASessionOfAnotherAccountIsForbidden(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithSessions(func(id string) bool { return id == "mine" }))
	for target, want := range map[string]int{webTask: 200, webTask + "?sessionId=mine": 200, webTask + "?sessionId=yours": 403} {
		status, answer, _, err := call(t, s, "POST", target, body(target))
		if err != nil || status != want || status == 403 && !strings.HasPrefix(answer, `{"error":{"code":403,`) {
			t.Errorf("%s: got %d %s %v, want %d", target, status, answer, err, want)
		}
	}
}

func TestRetryAfterTakesAnyValueAndLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"3600", "1.5", "-1", "1, 1", "Thu, 26 Nov 2026 06:10:00 UTC", "99999999999999999999"} {
		s := start(t, planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.RetryAfter(503, value)}}))
		status, _, header, err := call(t, s, "POST", webTask, body("x"))
		if err != nil || status != 503 || header.Get("Retry-After") != value {
			t.Errorf("got %d %q %v, want 503 %q", status, header.Get("Retry-After"), err, value)
		}
		if log := s.Log("x"); log.Accepted != 0 || log.Doubtful != 0 {
			t.Errorf("%s: got %+v, want nothing accepted and no doubt", value, log)
		}
	}
}

func TestALargeAnswerIsCompleteInEveryForm(t *testing.T) {
	t.Parallel()
	const begin, end = `{"data":{"status":"COMPLETED","result":"`, `"}}`
	for name, c := range map[string]struct {
		fault anchortest.Fault
		fill  string
	}{
		"with its length": {anchortest.Large(8 << 20), "a"},
		"in chunks":       {anchortest.Fault{Size: 1 << 20, Chunked: true}, "a"},
		"of anything":     {anchortest.Fault{Size: 1 << 20, Fill: `+%41\\n`}, `+%41\\n`},
	} {
		s := start(t, planned(anchortest.Plan{Poll: []anchortest.Fault{c.fault}}))
		_, id := submit(t, s, body("x"))
		_, answer, header := statusCall(t, s, id)
		if n := len(answer); n > c.fault.Size || n <= c.fault.Size-len(c.fill) {
			t.Errorf("%s: got %d bytes, want %d", name, n, c.fault.Size)
		}
		want := begin + strings.Repeat(c.fill, (len(answer)-len(begin)-len(end))/len(c.fill)) + end
		if answer != want {
			t.Errorf("%s: got an answer that begins with %.60s, want %.60s", name, answer, want)
		}
		if length := header.Get("Content-Length"); (length == "") != c.fault.Chunked {
			t.Errorf("%s: got Content-Length %q", name, length)
		}
	}
}

func TestAnAnswerCanHaveBytesBeforeAndAfterIt(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{
		Submit: []anchortest.Fault{{Suffix: "// x"}},
		Poll:   []anchortest.Fault{anchortest.BOM(), {Body: `{"city":"Z` + "\xfc" + `rich"}`}},
	}))
	status, answer, _, err := call(t, s, "POST", webTask, body("x"))
	if err != nil || status != 200 || !strings.HasSuffix(answer, `}}// x`) || s.Accepted("x") != 1 {
		t.Errorf("got %d %s %v and %d accepted, want the documented answer and more", status, answer, err, s.Accepted("x"))
	}
	_, id := submit(t, s, body("x"))
	if got, want := poll(t, s, id), "\ufeff"+`{"data":{"result":"done","status":"COMPLETED"}}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := poll(t, s, id), `{"city":"Z`+"\xfc"+`rich"}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBytesCanFollowAfterTheContentLength(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Poll: []anchortest.Fault{{Behind: "HTTP/1.1 200 OK\r\n\r\nmore"}}}))
	_, id := submit(t, s, body("x"))
	raw := rawPoll(t, s, id)
	if !strings.Contains(raw, `"status":"COMPLETED"}}HTTP/1.1 200 OK`) || !strings.HasSuffix(raw, "more") {
		t.Errorf("got %q, want the documented answer and more behind it", raw)
	}
}

// rawPoll polls and returns all bytes that the server sends on the connection.
func rawPoll(t *testing.T, s *anchortest.Server, id string) string {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET %s/%s/status HTTP/1.1\r\nHost: x\r\nAnchor-Api-Key: stand-in-key\r\n\r\n", webTask, id)
	var raw strings.Builder
	if _, err := bufio.NewReader(conn).WriteTo(&raw); err != nil {
		t.Fatal(err)
	}
	return raw.String()
}

func TestSwitchingProtocolsKeepsTheConnectionOpenUntilClose(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Poll: []anchortest.Fault{anchortest.Switching()}}))
	_, id := submit(t, s, body("x"))
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET %s/%s/status HTTP/1.1\r\nHost: x\r\nAnchor-Api-Key: stand-in-key\r\n\r\n", webTask, id)
	answer := bufio.NewReader(conn)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatalf("got %q %v, want 101", line, err)
	}
	s.Close()
	if _, err := answer.WriteTo(&strings.Builder{}); err != nil {
		t.Errorf("got %v, want the end of the connection", err)
	}
}
