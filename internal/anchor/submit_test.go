package anchor_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAcceptedSubmissionReturnsItsWorkflow(t *testing.T) {
	t.Parallel()
	api := startAPI(t, anchortest.Plan{})
	id, err := newClientOf(t, api).Submit(t.Context(), "", []byte(body))
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	if got := api.Log("read").Workflows; len(got) != 1 || got[0] != id {
		t.Errorf("got workflow %q, want the one of %q", id, got)
	}
}

func TestEveryAnswerHasItsKindOfError(t *testing.T) {
	t.Parallel()
	refused, unknown := want{kind: task.Refused}, want{kind: task.Unknown}
	notNow := func(reason task.Reason, wait time.Duration) want {
		return want{kind: task.NotNow, reason: reason, wait: wait}
	}
	withHeader := func(status int, name, value string) anchortest.Fault {
		return anchortest.Fault{Status: status, Header: map[string]string{name: value}}
	}
	for name, c := range map[string]struct {
		fault anchortest.Fault
		want  want
	}{
		"201 with an id":          {anchortest.Fault{Status: 201, Body: `{"data":{"workflow_id":"w"}}`}, want{id: "w"}},
		"400":                     {anchortest.Answer(400), refused},
		"404":                     {anchortest.Answer(404), refused},
		"409":                     {anchortest.Answer(409), refused},
		"418":                     {anchortest.Answer(418), refused},
		"422":                     {anchortest.Answer(422), refused},
		"301":                     {withHeader(301, "Location", "http://example.invalid/"), refused},
		"302 to nowhere":          {withHeader(302, "Location", "http://[bad"), refused},
		"307":                     {anchortest.Redirect("http://example.invalid/"), refused},
		"304":                     {anchortest.Fault{Status: 304, Body: " "}, refused},
		"401":                     {anchortest.Answer(401), notNow(task.Unauthorized, 0)},
		"402":                     {anchortest.Answer(402), notNow(task.NoCredits, 0)},
		"403":                     {anchortest.Answer(403), notNow(task.Forbidden, 0)},
		"408":                     {anchortest.Answer(408), notNow(task.Unready, 0)},
		"425":                     {anchortest.Answer(425), notNow(task.Unready, 0)},
		"429":                     {anchortest.Answer(429), notNow(task.RateLimited, 0)},
		"429 with Retry-After":    {anchortest.RateLimited(58), notNow(task.RateLimited, 58*time.Second)},
		"429 with RateLimit":      {withHeader(429, "RateLimit", `"5-in-1min"; r=0; t=58`), notNow(task.RateLimited, 58*time.Second)},
		"503 with Retry-After":    {anchortest.Unavailable(7), notNow(task.Unavailable, 7*time.Second)},
		"503 with Retry-After: 0": {anchortest.Unavailable(0), notNow(task.Unavailable, 0)},
		"503 with a bad one":      {withHeader(503, "Retry-After", "soon"), notNow(task.Unavailable, 0)},
		"503 with an empty one":   {withHeader(503, "Retry-After", ""), notNow(task.Unavailable, 0)},
		"503 with a fraction":     {withHeader(503, "Retry-After", "1.5"), notNow(task.Unavailable, 2*time.Second)},
		"503 with a list":         {withHeader(503, "Retry-After", "1, 1"), notNow(task.Unavailable, time.Second)},
		"503 with a negative one": {withHeader(503, "Retry-After", "-1"), notNow(task.Unavailable, 0)},
		"503 with a huge one":     {withHeader(503, "Retry-After", strings.Repeat("9", 400)), notNow(task.Unavailable, time.Hour)},
		"503 page, Retry-After":   {anchortest.Fault{Status: 503, Header: map[string]string{"Retry-After": "3"}, Body: "<html>"}, notNow(task.Unavailable, 3*time.Second)},
		"500 with Retry-After":    {withHeader(500, "Retry-After", "1"), want{kind: task.Unknown, wait: time.Second}},
		"502 with Retry-After":    {withHeader(502, "Retry-After", "1"), want{kind: task.Unknown, wait: time.Second}},
		"529":                     {anchortest.Answer(529), unknown},
		"529 with Retry-After":    {withHeader(529, "Retry-After", "4"), notNow(task.Unavailable, 4*time.Second)},
		"407":                     {anchortest.HTML(407), notNow(task.ProxyLogin, 0)},
		"400 from a gateway":      {anchortest.HTML(400), notNow(task.NotTheAPI, 0)},
		"404 from a gateway":      {anchortest.HTML(404), notNow(task.NotTheAPI, 0)},
		"422 from a gateway":      {anchortest.HTML(422), notNow(task.NotTheAPI, 0)},
		"426 from a gateway":      {anchortest.HTML(426), notNow(task.NotTheAPI, 0)},
		"403 from a gateway":      {anchortest.HTML(403), notNow(task.Forbidden, 0)},
		"429 from a gateway":      {anchortest.HTML(429), notNow(task.RateLimited, 0)},
		"301 from a gateway":      {anchortest.Fault{Status: 301, Header: map[string]string{"Location": "https://x.invalid/"}, Body: "<html>"}, refused},
		"503":                     {anchortest.Answer(503), unknown},
		"500":                     {anchortest.Answer(500), unknown},
		"500 but accepted":        {anchortest.Answer(500).ButAccepted(), unknown},
		"502 from a gateway":      {anchortest.HTML(502), unknown},
		"599":                     {anchortest.Answer(599), unknown},
		"reset":                   {anchortest.Reset(), unknown},
		"reset but accepted":      {anchortest.Reset().ButAccepted(), unknown},
		"answer cut off":          {anchortest.Fault{Cut: true}, unknown},
		"garbage":                 {anchortest.Garbage(), unknown},
		"HTML with 200":           {anchortest.HTML(200), unknown},
		"204":                     {anchortest.Fault{Status: 204, Body: " "}, unknown},
		"no id":                   {anchortest.NoID(), unknown},
		"null":                    {anchortest.Fault{Body: "null"}, unknown},
		"id of another type":      {anchortest.Fault{Body: `{"data":{"workflow_id":7}}`}, unknown},
		"too large":               {anchortest.Fault{Size: 1<<20 + 1}, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := startAPI(t, anchortest.Plan{Submit: []anchortest.Fault{c.fault}})
			id, err := newClientOf(t, api).Submit(t.Context(), "", []byte(body))
			c.want.check(t, id, err)
			if posts := api.Log("read").Posts; posts != 1 {
				t.Errorf("got %d POSTs, want 1", posts)
			}
		})
	}
}

// want is the expected result of a submission.
type want struct {
	id     string
	kind   task.SubmitErrorKind
	reason task.Reason
	wait   time.Duration
}

func (w want) check(t *testing.T, id string, err error) {
	t.Helper()
	if id != w.id {
		t.Errorf("got id %q, want %q", id, w.id)
	}
	if w.id != "" {
		if err != nil {
			t.Errorf("got error %v, want none", err)
		}
		return
	}
	e := submitError(t, err)
	if got := (want{kind: e.Kind, reason: e.Reason, wait: e.RetryAfter}); got != w {
		t.Errorf("got %+v, want %+v", got, w)
	}
}

func TestRequestHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var sent []byte
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		sent, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"data":{"status":"running","workflow_id":"w"}}`)
	})
	if _, err := newClient(t, config(server.URL+"/")).Submit(t.Context(), "a&b=c /ü", []byte(body)); err != nil {
		t.Fatalf("submit: %v", err)
	}
	for name, want := range map[string]string{
		"Anchor-Api-Key": "sk-secret", "Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "capstan/1.2.3",
		"Idempotency-Key": "", "X-Idempotency-Key": "", "Authorization": "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("header %s: got %q, want %q", name, value, want)
		}
	}
	if got, want := got.URL.Path, "/v1/tools/perform-web-task"; got != want {
		t.Errorf("got path %q, want %q", got, want)
	}
	if query := got.URL.Query(); len(query) != 1 || query.Get("sessionId") != "a&b=c /ü" {
		t.Errorf("got query %v, want the session id alone", query)
	}
	if string(sent) != body {
		t.Errorf("got body %s, want %s", sent, body)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	leaked := make(chan struct{}, 2)
	other := serve(t, func(http.ResponseWriter, *http.Request) { leaked <- struct{}{} })
	api := startAPI(t, anchortest.Plan{
		Submit: []anchortest.Fault{{}, anchortest.Redirect(other.URL)}, Poll: []anchortest.Fault{anchortest.Redirect(other.URL)},
	})
	client := newClientOf(t, api)
	id, err := client.Submit(t.Context(), "", []byte(body))
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	_, err = client.Submit(t.Context(), "", []byte(body))
	if e := submitError(t, err); e.Kind != task.Refused || e.HTTPStatus != 307 {
		t.Errorf("got %+v, want 307 to be refused", e)
	}
	_, err = client.Status(t.Context(), id, anchor.MaxAnswer)
	if e := statusError(t, err); e.HTTPStatus != 307 {
		t.Errorf("got %+v, want the 307", e)
	}
	if len(leaked) > 0 {
		t.Error("the other host was called")
	}
}
