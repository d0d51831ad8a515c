package anchor_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// Bodies of 404 and 422: from the API, from gateways in front of it, and from other servers.
func TestOnlyTheAPIsOwnErrorsRefuseATask(t *testing.T) {
	t.Parallel()
	const session = `{"error":{"code":404,"message":"Session not found"}}`
	for name, c := range map[string]struct {
		body string
		own  bool
	}{
		"documented":             {session, true},
		"a byte order mark":      {"\ufeff" + session, true},
		"something behind it":    {session + "\n<!-- edge-7 -->", true},
		"code alone":             {`{"error":{"code":404}}`, true},
		"message alone":          {`{"error":{"message":"no"}}`, true},
		"message at the top":     {`{"message":"no such session"}`, true},
		"list of messages":       {`{"statusCode":422,"message":["url must be a URL"],"error":"Unprocessable Entity"}`, true},
		"error is a string":      {`{"error":"no such session"}`, true},
		"error in an error":      {`{"error":{"error":"no such session"}}`, true},
		"error in an error, 2":   {`{"error":{"error":{"message":"no such session"}}}`, true},
		"names a workflow":       {`{"error":{"code":404,"message":"perform-web-task-execution-1 not found"}}`, true},
		"more than is read":      {`{"error":{"code":422,"message":"no","input":"` + strings.Repeat("x", 1<<20) + `"}}`, true},
		"longer than is read":    {`{"error":{"message":"` + strings.Repeat("x", 1<<20) + `"}}`, true},
		"nothing":                {"", false},
		"nginx":                  {"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body><hr><center>nginx</center></body></html>", false},
		"Kubernetes ingress":     {"default backend - 404", false},
		"Traefik":                {"404 page not found\n", false},
		"Envoy":                  {"no healthy upstream", false},
		"Cloudflare text":        {"error code: 1016", false},
		"Cloudflare JSON":        {`{"success":false,"errors":[{"code":7003,"message":"Could not route"}],"messages":[],"result":null}`, false},
		"Cloudflare problem":     {`{"type":"https://developers.cloudflare.com/","title":"Error 1016","status":422,"detail":"Origin DNS error"}`, false},
		"Express":                {"<!DOCTYPE html><pre>Cannot POST /v1/tools/perform-web-task</pre>", false},
		"FastAPI":                {`{"detail":"Not Found"}`, false},
		"Apigee":                 {`{"fault":{"faultstring":"Unable to identify proxy","detail":{"errorcode":"x"}}}`, false},
		"AWS":                    {`{"Message":"User is not authorized"}`, false},
		"health page":            {`{"status":"down"}`, false},
		"empty object":           {"{}", false},
		"null error":             {`{"error":null,"message":null}`, false},
		"empty error":            {`{"error":{},"message":""}`, false},
		"true":                   {`{"error":true}`, false},
		"number":                 {`{"error":404}`, false},
		"error of another form":  {`{"error":{"status":"down"}}`, false},
		"code at the top":        {`{"code":404}`, false},
		"list":                   {`[{"error":"no"}]`, false},
		"string":                 {`"no such session"`, false},
		"cut before the message": {`{"error":{"mess`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{http.StatusNotFound, http.StatusUnprocessableEntity} {
				server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, c.body)
				})
				client := newClient(t, config(server.URL))
				wanted := want{kind: task.Refused}
				if !c.own {
					wanted = want{kind: task.NotNow, reason: task.NotTheAPI}
				}
				_, err := client.Submit(t.Context(), "", []byte(body))
				wanted.check(t, "", err)
				_, err = client.Status(t.Context(), "w", anchor.MaxAnswer)
				if e := statusError(t, err); e.OwnForm != c.own || e.UnknownWorkflow() != (c.own && status == http.StatusNotFound) {
					t.Errorf("got %+v, want own form %v", e, c.own)
				}
			}
		})
	}
}

// A router, of the API or of another server, names the path that it does not know.
func TestUnknownPathIsNotAnAnswerOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"NestJS":  `{"statusCode":404,"message":"Cannot %s","error":"Not Found"}`,
		"Fastify": `{"message":"Route %s not found","error":"Not Found","statusCode":404}`,
		"own":     `{"error":{"code":404,"message":"%s does not exist"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest} {
				server := serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, strings.ReplaceAll(answer, "%s", r.Method+":"+r.URL.Path))
				})
				client := newClient(t, config(server.URL))
				wanted := want{kind: task.NotNow, reason: task.NotTheAPI}
				if status == http.StatusBadRequest { // the path exists, and the request is at fault
					wanted = want{kind: task.Refused}
				}
				_, err := client.Submit(t.Context(), "session-1", []byte(body))
				wanted.check(t, "", err)
				_, err = client.Status(t.Context(), "w", anchor.MaxAnswer)
				if e := statusError(t, err); e.OwnForm != (status == http.StatusBadRequest) {
					t.Errorf("got %+v of a %d", e, status)
				}
			}
		})
	}
}

func TestEveryStatusHasAMessage(t *testing.T) {
	t.Parallel()
	for status, wanted := range map[int]string{
		499: "499: no message",
		520: "520: the gateway got an answer from the API that it could not read",
		521: "521: the API refused the gateway's connection",
		522: "522: the API did not answer the gateway's connection",
		523: "523: the gateway could not reach the API",
		524: "524: the API did not answer the gateway in time",
		525: "525: the TLS handshake between the gateway and the API failed",
		526: "526: the gateway does not trust the API's certificate",
		527: "527: the connection between the gateway and the API broke",
		529: "529: overloaded",
		530: "530: the gateway could not find the API",
		599: "599: no message",
		502: "502: Bad Gateway",
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>")
		})
		client := newClient(t, config(server.URL))
		if _, err := client.Submit(t.Context(), "", []byte(body)); err == nil || err.Error() != wanted {
			t.Errorf("submit: got %v, want %q", err, wanted)
		}
		if _, err := client.Status(t.Context(), "w", anchor.MaxAnswer); err == nil || err.Error() != wanted {
			t.Errorf("status: got %v, want %q", err, wanted)
		}
	}
}

func TestMessageIsFoundInEveryErrorForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 3000)
	for name, c := range map[string]struct{ contentType, body, want string }{
		"documented":        {"application/json", `{"error":{"code":422,"message":"bad prompt"}}`, "bad prompt"},
		"at the top":        {"application/json", `{"message":"bad prompt"}`, "bad prompt"},
		"a string":          {"application/json", `{"error":"bad prompt"}`, "bad prompt"},
		"inside an error":   {"application/json", `{"error":{"error":"bad prompt"}}`, "bad prompt"},
		"null":              {"application/json", `{"error":null,"message":"bad prompt"}`, "bad prompt"},
		"a list":            {"application/json", `{"message": ["a", "b"]}`, `["a","b"]`},
		"another object":    {"application/json", `{"detail": 1}`, `{"detail":1}`},
		"HTML":              {"text/html", `<html>bad</html>`, "Unprocessable Entity"},
		"text":              {"text/plain", "bad prompt\n", "bad prompt"},
		"nothing":           {"application/json", "", "Unprocessable Entity"},
		"long":              {"text/plain", long, long[:2048]},
		"the key":           {"text/plain", "no such key: sk-secret", "no such key: [redacted]"},
		"deep":              {"application/json", strings.Repeat(`{"error":`, 5) + `"x"` + strings.Repeat("}", 5), `{"error":{"error":"x"}}`},
		"text that is cut":  {"text/plain", "a" + long, "a" + long[:2046]},
		"a byte order mark": {"application/json", "\ufeff" + `{"message":"bad prompt"}`, "bad prompt"},
		"other spelling":    {"application/json", `{"Message":"bad prompt"}`, "bad prompt"},
		"cut off":           {"application/json", `{"error":{"message":"bad prompt","input":"` + strings.Repeat("x", 1<<20) + `"}}`, "bad prompt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := newClient(t, config(server.URL)).Submit(t.Context(), "", []byte(body))
			if got := submitError(t, err).Message; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
