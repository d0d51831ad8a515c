package streams

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// toolTimeout is how long a client waits for each server of NATS_URL.
const toolTimeout = 5 * time.Second

// ConnectTool connects a client to NATS. Unlike Connect it gives up where no server answers within five
// seconds; a connection that is lost later comes back by itself. The error names the servers, without a
// login, and says what to do.
func ConnectTool(cfg NATSConfig, opts ...nats.Option) (*nats.Conn, error) {
	opts = slices.Concat(credentials(cfg), []nats.Option{
		nats.Name("capstan"),
		nats.Timeout(toolTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
	}, opts)
	nc, err := nats.Connect(cfg.URL, opts...)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return nil, fmt.Errorf("NATS at %s refused the login: %w. Set NATS_CREDS_FILE, NATS_NKEY_SEED_FILE, NATS_USER or NATS_TOKEN", withoutLogin(cfg.URL), err)
	case errors.Is(err, nats.ErrNoServers):
		return nil, fmt.Errorf("no NATS at %s: wait until it, and any port-forward to it, is up; or set NATS_URL, or try: capstan demo", withoutLogin(cfg.URL))
	default:
		return nil, fmt.Errorf("connect to NATS at %s: %w", withoutLogin(cfg.URL), err)
	}
}
