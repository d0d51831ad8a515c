//go:build !nodemo

package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
)

// readyzTimeout bounds one request to the worker's /readyz, which answers at once.
const readyzTimeout = 2 * time.Second

// whyWaiting returns what /readyz reports as missing or paused, and the address of the API, which is often the reason. It
// returns "" if nothing is missing or paused, or if the worker does not answer: the port of ADMIN_ADDR may be 0, which
// means any.
func whyWaiting(ctx context.Context, cfg app.Config) string {
	ctx, cancel := context.WithTimeout(ctx, readyzTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.Admin.Addr+"/readyz", http.NoBody)
	if err != nil {
		return ""
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	// The limit guards against another server at this address.
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return ""
	}
	why := waitReasons(answer.StatusCode, string(body))
	if why == "" {
		return ""
	}
	return why + " (API: " + cfg.Anchor.BaseURL + ")"
}

// waitReasons returns the lines of /readyz about pauses, without the time at which a pause ends: that changes with each
// retry. If the worker is not ready, it returns all lines.
func waitReasons(status int, body string) string {
	var reasons []string
	for line := range strings.Lines(body) {
		if status != http.StatusOK || strings.Contains(line, "paused") {
			reasons = append(reasons, untilMoment.ReplaceAllString(strings.TrimSpace(line), ""))
		}
	}
	return strings.Join(reasons, "; ")
}

var untilMoment = regexp.MustCompile(` until \d{4}-\d\d-\d\dT[0-9:.]+Z`)
