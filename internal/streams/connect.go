package streams

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// How a lost connection is noticed and taken up again. A link that swallows what is sent is noticed
// after three pings; ACK_WAIT has to be longer.
const (
	pingInterval    = 5 * time.Second
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
)

// Connect connects to NATS and keeps trying for ever: where no server answers yet it returns all the
// same, with a connection that is not connected. An error means that a setting cannot be used.
//
// report is told of each error that NATS reports beside a call, and returns false where it does not know it.
func Connect(cfg NATSConfig, name string, report func(error) bool, log zerolog.Logger) (*nats.Conn, error) {
	opts := append(credentials(cfg),
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // what is published while disconnected fails at once: a kept copy and its retry would both go out
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(nc *nats.Conn) {
			log.Info().Str("server", nc.ConnectedServerName()).Msg("connected to NATS")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn().Err(err).Msg("lost NATS")
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info().Str("server", nc.ConnectedServerName()).Msg("reconnected to NATS")
		}),
		nats.ReconnectErrHandler(logOncePerMinute(log)),
		nats.ErrorHandler(logErrors(report, log)),
	)
	nc, err := nats.Connect(cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

// logOncePerMinute tells of failed tries to connect, which come several times a second.
func logOncePerMinute(log zerolog.Logger) nats.ConnErrHandler {
	quiet := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	return func(_ *nats.Conn, err error) {
		quiet.Warn().Err(err).Msg("cannot connect to NATS, trying on")
	}
}

// logErrors tells of what NATS reports beside a call. Most of it passes by itself: a slow consumer, what is
// left over of a lost connection. A login that is refused, which comes with every try to connect, and a
// limit that is reached need somebody.
func logErrors(report func(error) bool, log zerolog.Logger) nats.ErrHandler {
	refused := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	return func(_ *nats.Conn, _ *nats.Subscription, err error) {
		switch {
		case report(err):
		case isRefusal(err):
			refused.Error().Err(err).Msg("NATS refused the worker, trying on")
		default:
			log.Warn().Err(err).Msg("NATS reported an error")
		}
	}
}

func isRefusal(err error) bool {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrMaxSubscriptionsExceeded,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// credentials turns the settings into options; those that are absent add none.
func credentials(cfg NATSConfig) []nats.Option {
	var opts []nats.Option
	add := func(set bool, opt nats.Option) {
		if set {
			opts = append(opts, opt)
		}
	}
	add(cfg.CredsFile != "", nats.UserCredentials(cfg.CredsFile))
	add(cfg.User != "", nats.UserInfo(cfg.User, string(cfg.Password)))
	add(cfg.Token != "", nats.Token(string(cfg.Token)))
	add(cfg.TLS.CAFile != "", nats.RootCAs(cfg.TLS.CAFile))
	add(cfg.TLS.CertFile != "", nats.ClientCert(cfg.TLS.CertFile, cfg.TLS.KeyFile))
	add(cfg.InboxPrefix != "", nats.CustomInboxPrefix(cfg.InboxPrefix))
	if cfg.NkeySeedFile != "" {
		opts = append(opts, func(o *nats.Options) error {
			nkey, err := nats.NkeyOptionFromSeed(cfg.NkeySeedFile)
			if err != nil {
				return fmt.Errorf("NATS_NKEY_SEED_FILE: %w", err)
			}
			return nkey(o)
		})
	}
	return opts
}
