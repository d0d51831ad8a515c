package check_test

import (
	"fmt"
	"testing"

	"github.com/capstan-worker/capstan/internal/consumer"
)

// A login may not change the consumer: a person must give it the limit that the plan allows.
func TestALimitThatWorkersCannotSetIsAWarning(t *testing.T) {
	t.Parallel()
	const subject = "$JS.API.CONSUMER.CREATE.TASKS.worker.tasks.request"
	w := limitedWorld(t, "enabled", fmt.Sprintf("%q", subject))
	w.cfg.MaxInFlightTotal = "100"
	w.provision()
	w.cfg.NATS.User, w.cfg.NATS.Password, w.cfg.NATS.Provision = "w", "w", false
	for total, line := range map[string]string{
		"100": "warn MAX_IN_FLIGHT_TOTAL: 25 of the 25 browsers that the plan runs at once, but the consumer has 100, and workers cannot change it: " +
			`missing permission: publish to "` + subject + `"`,
		"auto": "warn MAX_IN_FLIGHT_TOTAL: 25 of the 25 browsers that the plan runs at once, but the consumer has 100",
	} {
		w.cfg.MaxInFlightTotal = consumer.Total(total)
		w.finds(w.check(), line)
	}
	w.cfg.NATS.User, w.cfg.NATS.Password = "a", "a"
	w.finds(w.check(), "ok MAX_IN_FLIGHT_TOTAL: 25 of the 25 browsers that the plan runs at once. With 2 or more workers")
}
