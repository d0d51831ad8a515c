package fleet

import (
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// limitEcho is for how long errors about the limit count as those of the membership that has just ended. NATS reports
	// one for each subscription that it refused.
	limitEcho = 5 * time.Second

	// stopTime is how long the client takes to remove the subscriptions of a service. Until then it would send them again
	// with the others.
	stopTime = time.Second
)

// Note takes an error that NATS reported. If the account has no subscriptions left, the worker leaves the fleet for good:
// its pulls need them more. It returns false if the error is another one, or not due to the membership.
func (m *Member) Note(err error) bool {
	if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) && !strings.Contains(err.Error(), nats.MAX_SUBSCRIPTIONS_ERR) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.service == nil {
		return time.Since(m.tooMany) < limitEcho
	}
	m.ended, m.tooMany = true, time.Now()
	stopErr := m.stop()
	m.log.Warn().AnErr("stop", stopErr).Err(err).Msg("worker left the fleet: NATS allows no more subscriptions")
	// After a reconnect the client sends all subscriptions again, in any order. The one that was refused may be one that the
	// worker needs, and only another reconnect restores it.
	if nc := m.nc; nc.Stats().Reconnects != m.reconnects {
		time.AfterFunc(stopTime, func() { _ = nc.ForceReconnect() }) // it fails only if the connection is closed
	}
	return true
}
