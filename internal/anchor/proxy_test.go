package anchor_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/task"
)

// A proxy refuses the request. With https it refuses the connection, so that the request never leaves.
func TestProxyRefusalIsNotNow(t *testing.T) {
	t.Parallel()
	for url, c := range map[string]struct {
		want   want
		status int
		words  string
	}{
		"http://407.example":  {want{kind: task.NotNow, reason: task.ProxyLogin}, 407, "407: Proxy Authentication Required"},
		"https://407.example": {want{kind: task.NotNow, reason: task.ProxyLogin}, 407, "407: Proxy Authentication Required"},
		"http://404.example":  {want{kind: task.NotNow, reason: task.NotTheAPI}, 404, "404: Not Found"},
		"https://404.example": {want{kind: task.NotNow, reason: task.Unreachable}, 0, "the proxy does not connect to the API: 404: Not Found"},
		"https://403.example": {want{kind: task.NotNow, reason: task.Unreachable}, 0, "the proxy does not connect to the API: 403: Forbidden"},
		"https://502.example": {want{kind: task.NotNow, reason: task.Unreachable}, 0, "the proxy does not connect to the API: 502: Bad Gateway"},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, config(url))
			_, err := client.Submit(t.Context(), "session-1", []byte(body))
			c.want.check(t, "", err)
			if e := submitError(t, err); e.HTTPStatus != c.status || e.Error() != c.words {
				t.Errorf("submit: got status %d and %q, want %d and %q", e.HTTPStatus, e, c.status, c.words)
			}
			_, err = client.Status(t.Context(), "w", anchor.MaxAnswer)
			if e := statusError(t, err); e.HTTPStatus != c.status || e.OwnForm || e.Error() != c.words {
				t.Errorf("status: got %+v, want status %d and %q", e, c.status, c.words)
			}
			if _, err := client.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.words, "404: ")) && c.status != 404 {
				t.Errorf("plan: got %v, want %q in it", err, c.words)
			}
		})
	}
}
