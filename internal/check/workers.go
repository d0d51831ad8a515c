package check

import (
	"context"
	"fmt"

	"github.com/capstan-worker/capstan/internal/fleet"
)

// workers reports how many workers answer. That none does is a warning if there are requests for them.
func (c *checker) workers(ctx context.Context) {
	const subject = "workers"
	all, err := fleet.All(ctx, c.nc)
	switch {
	case err != nil:
		c.add(Warn, subject, "unknown: %v", err)
	case len(all) == 1:
		c.add(OK, subject, "1 worker answers")
	case len(all) > 1:
		c.add(OK, subject, "%d workers answer", len(all))
	case c.requests == nil:
		c.add(Warn, subject, "no worker answers")
	case *c.requests == 0:
		c.add(OK, subject, "no worker answers, and there are no requests")
	default:
		c.add(Warn, subject, "no worker answers, and the stream has %s: start a worker or, if one runs, see its log and /readyz", counted(*c.requests, "request"))
	}
}

// counted is a number of things: "1 request", "2 requests".
func counted(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
