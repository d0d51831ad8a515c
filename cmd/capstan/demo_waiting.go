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

// readyzTimeout bounds one look at the worker's /readyz, which answers at once.
const readyzTimeout = 2 * time.Second

// whyWaiting returns what the worker says on /readyz about what it lacks and what is paused, with the address of the
// API, since that is often the reason. It returns "" where the worker has nothing to say, or cannot be asked: the
// port of ADMIN_ADDR may be 0, which means any.
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
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return ""
	}
	why := waits(answer.StatusCode, string(body))
	if why == "" {
		return ""
	}
	return why + " (API: " + cfg.Anchor.BaseURL + ")"
}

// waits returns the lines of /readyz that tell of a pause, without the moment at which it ends: that changes with
// each try. Where the worker is not ready it returns all lines.
func waits(status int, body string) string {
	var told []string
	for line := range strings.Lines(body) {
		if status != http.StatusOK || strings.Contains(line, "paused") {
			told = append(told, untilMoment.ReplaceAllString(strings.TrimSpace(line), ""))
		}
	}
	return strings.Join(told, "; ")
}

var untilMoment = regexp.MustCompile(` until \d{4}-\d\d-\d\dT[0-9:.]+Z`)
