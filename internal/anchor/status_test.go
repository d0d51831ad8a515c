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

func TestStatusIsReadLeniently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, status, result, err string
	}{
		"running":          {`{"data":{"status":"RUNNING"}}`, "RUNNING", "", ""},
		"null fields":      {`{"data":{"status":"RUNNING","result":null,"error":null}}`, "RUNNING", "", ""},
		"object":           {`{"data":{"status":"COMPLETED","result":{"a":[1]}}}`, "COMPLETED", `{"a":[1]}`, ""},
		"string":           {`{"data":{"status":"COMPLETED","result":"x"}}`, "COMPLETED", `"x"`, ""},
		"number":           {`{"data":{"status":"COMPLETED","result":12345678901234567890}}`, "COMPLETED", `12345678901234567890`, ""},
		"failed":           {`{"data":{"status":"FAILED","error":"Maximum number of steps exceeded"}}`, "FAILED", "", "Maximum number of steps exceeded"},
		"error object":     {`{"data":{"status":"FAILED","error":{"message":"no"}}}`, "FAILED", "", "no"},
		"other object":     {`{"data":{"status":"FAILED","error":{"why": 1}}}`, "FAILED", "", `{"why":1}`},
		"unknown state":    {`{"data":{"status":"PAUSED","eta":5}}`, "PAUSED", "", ""},
		"very long error":  {`{"data":{"status":"FAILED","error":"` + strings.Repeat("e", 9999) + `"}}`, "FAILED", "", strings.Repeat("e", 2048)},
		"byte order mark":  {"\ufeff" + `{"data":{"status":"COMPLETED","result":{"a":1}}}`, "COMPLETED", `{"a":1}`, ""},
		"comment behind":   {`{"data":{"status":"COMPLETED","result":[1] }} // edge-7`, "COMPLETED", `[1]`, ""},
		"white space":      {"\n { \"data\" : {\"result\" : \t{\"a\": 1 }  , \"status\":\"COMPLETED\"} }", "COMPLETED", `{"a": 1 }`, ""},
		"no UTF-8":         {"{\"data\":{\"status\":\"COMPLETED\",\"result\":{\"city\":\"Z\xfcrich\"}}}", "COMPLETED", "{\"city\":\"Z\xfcrich\"}", ""},
		"name twice":       {`{"data":{"status":"RUNNING","status":"COMPLETED","result":1,"result":{"a":1,"a":2}}}`, "COMPLETED", `{"a":1,"a":2}`, ""},
		"other spelling":   {`{"Data":{"Status":"COMPLETED","RESULT":1}}`, "COMPLETED", "1", ""},
		"beyond float64":   {`{"data":{"status":"COMPLETED","result":1e400}}`, "COMPLETED", "1e400", ""},
		"null error":       {`{"data":{"status":"FAILED","error":null}}`, "FAILED", "", ""},
		"long status":      {`{"data":{"status":"` + strings.Repeat("S", 9999) + `"}}`, strings.Repeat("S", 2048), "", ""},
		"fields elsewhere": {`{"data":{"status":"RUNNING"},"meta":{}}`, "RUNNING", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) })
			got, err := newClient(t, config(server.URL)).Status(t.Context(), "w", anchor.MaxAnswer)
			if err != nil {
				t.Fatalf("status: %v", err)
			}
			if got.Status != c.status || string(got.Result) != c.result || got.Error != c.err {
				t.Errorf("got %q %s %q, want %q %s %q", got.Status, got.Result, got.Error, c.status, c.result, c.err)
			}
		})
	}
}

func TestStatusErrorsSayWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault anchortest.Fault
		want  task.StatusError
	}{
		"404":           {anchortest.Answer(404), task.StatusError{HTTPStatus: 404, OwnForm: true, Message: "Not Found"}},
		"400":           {anchortest.Answer(400), task.StatusError{HTTPStatus: 400, OwnForm: true, Message: "Bad Request"}},
		"429":           {anchortest.RateLimited(58), task.StatusError{HTTPStatus: 429, OwnForm: true, Message: "Too Many Requests", RetryAfter: 58 * time.Second}},
		"404 page":      {anchortest.HTML(404), task.StatusError{HTTPStatus: 404, Message: "Not Found"}},
		"500":           {anchortest.Answer(500), task.StatusError{HTTPStatus: 500, OwnForm: true, Message: "Internal Server Error"}},
		"no status":     {anchortest.Fault{Body: `{"data":{}}`}, task.StatusError{HTTPStatus: 200, Message: "read answer: the answer has no status"}},
		"too large":     {anchortest.Fault{Size: 32<<20 + 1}, task.StatusError{HTTPStatus: 200, Message: "the answer is too large", TooLarge: true, Size: 32<<20 + 1}},
		"a large error": {anchortest.Fault{Status: 500, Size: 2 << 20}, task.StatusError{HTTPStatus: 500, Message: "Internal Server Error"}},
		"cut off":       {anchortest.Fault{Cut: true, Size: 4 << 20}, task.StatusError{HTTPStatus: 200}},
		"garbage":       {anchortest.Garbage(), task.StatusError{HTTPStatus: 200}},
		"reset":         {anchortest.Reset(), task.StatusError{}},
		"empty":         {anchortest.Fault{Body: " "}, task.StatusError{HTTPStatus: 200}},
		"not a number":  {anchortest.Fault{Body: `{"data":{"status":"COMPLETED","result":NaN}}`}, task.StatusError{HTTPStatus: 200}},
		"control code":  {anchortest.Fault{Body: "{\"data\":{\"status\":\"COMPLETED\",\"result\":\"a\x01\"}}"}, task.StatusError{HTTPStatus: 200}},
		"no end":        {anchortest.Fault{Body: `{"data":{"status":"COMPLETED","result":1}`}, task.StatusError{HTTPStatus: 200}},
		"status 5":      {anchortest.Fault{Body: `{"data":{"status":5}}`}, task.StatusError{HTTPStatus: 200}},
		"null data":     {anchortest.Fault{Body: `{"data":null}`}, task.StatusError{HTTPStatus: 200}},
		"list":          {anchortest.Fault{Body: `[{"data":{"status":"RUNNING"}}]`}, task.StatusError{HTTPStatus: 200}},
		"503, held":     {anchortest.Unavailable(7), task.StatusError{HTTPStatus: 503, OwnForm: true, RetryAfter: 7 * time.Second, Message: "Service Unavailable"}},
		"418 page":      {anchortest.HTML(418), task.StatusError{HTTPStatus: 418, Message: "I'm a teapot"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := startAPI(t, anchortest.Plan{Poll: []anchortest.Fault{c.fault.Repeated(-1)}})
			client := newClientOf(t, api)
			id, err := client.Submit(t.Context(), "", []byte(body))
			if err != nil {
				t.Fatalf("submit: %v", err)
			}
			_, err = client.Status(t.Context(), id, anchor.MaxAnswer)
			got := *statusError(t, err)
			if c.want.Message == "" { // its words are the network's
				got.Message = ""
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestLargeResultsAreRead(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	api := startAPI(t, anchortest.Plan{Poll: []anchortest.Fault{{Size: size}}})
	client := newClientOf(t, api)
	id, err := client.Submit(t.Context(), "", []byte(body))
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	workflow, err := client.Status(t.Context(), id, anchor.MaxAnswer)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	if got := len(workflow.Result); got < size-100 {
		t.Errorf("got a result of %d bytes, want nearly %d", got, size)
	}
}

func TestWorkflowIDIsOneSegmentOfThePath(t *testing.T) {
	t.Parallel()
	paths := make(chan string, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		paths <- r.RequestURI
		_, _ = io.WriteString(w, `{"data":{"status":"RUNNING"}}`)
	})
	client := newClient(t, config(server.URL))
	if _, err := client.Status(t.Context(), "a/../b?c#d%", anchor.MaxAnswer); err != nil {
		t.Fatalf("status: %v", err)
	}
	if got, want := <-paths, "/v1/tools/perform-web-task/a%2F..%2Fb%3Fc%23d%25/status"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, id := range []string{"", ".", "..", strings.Repeat("x", 2000)} {
		if _, err := client.Status(t.Context(), id, anchor.MaxAnswer); statusError(t, err).HTTPStatus != 0 {
			t.Errorf("id %.10q: got %v, want an error without a call", id, err)
		}
	}
	if len(paths) > 0 {
		t.Errorf("got a call of %q, want none", <-paths)
	}
}
