package streams

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// pingInterval is the time between two pings. A link that loses everything without an error is noticed after three of
// them, in 15 s; ACK_WAIT must be longer, or the requests of a worker that still lives are redelivered.
const pingInterval = 5 * time.Second

// Waits between two tries to reconnect to the servers, with jitter: after an outage, all workers must not
// log in at the same moment.
const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
)

// toolTimeout is how long a tool waits for each server of NATS_URL.
const toolTimeout = 5 * time.Second

// Connect connects a worker to NATS and keeps trying forever. If no server answers yet, it returns a connection that is
// not connected. An error means that a setting cannot be used.
//
// report gets each error that NATS reports apart from a call, and returns false if it does not handle it. Such errors are
// logged, as are the losses of the connection.
func Connect(cfg NATSConfig, name string, report func(error) bool, log zerolog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect(cfg.URL, append(slices.Concat(loginOptions(cfg), keepAliveOptions()),
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		// Publishing fails at once while disconnected: a buffered copy would be sent in addition to its
		// retry.
		nats.ReconnectBufSize(-1),
		// Without it the client gives up after the same server has refused the login twice, which happens
		// while a login is being replaced.
		nats.IgnoreAuthErrorAbort(),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(nc *nats.Conn) {
			log.Info().Str("server", nc.ConnectedServerName()).Msg("connected to NATS")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn().Err(err).Msg("disconnected from NATS")
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info().Str("server", nc.ConnectedServerName()).Msg("reconnected to NATS")
		}),
		nats.ReconnectErrHandler(logFailedConnects(log)),
		nats.ErrorHandler(logErrors(report, log)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

// ConnectTool connects a user's tool to NATS. Unlike Connect it gives up if no server answers within five seconds. A
// connection that is lost later is restored. The error is a ConnectError.
func ConnectTool(cfg NATSConfig, opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(cfg.URL, slices.Concat(loginOptions(cfg), ToolOptions(), opts)...)
	if err != nil {
		return nil, NewConnectError(cfg.URL, err)
	}
	return nc, nil
}

// ToolOptions are the options of ConnectTool apart from the login. Errors that NATS reports apart from a call are dropped:
// without a handler the NATS client would print them. An ErrorHandler behind these options takes the place of theirs.
func ToolOptions() []nats.Option {
	drop := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	return append(keepAliveOptions(), nats.Name("capstan"), nats.Timeout(toolTimeout), drop)
}

// ConnectError says why a tool could not connect to NATS, and what to do.
type ConnectError struct {
	Servers string // without a login
	Context string // of the nats command, which named them; "" if the settings did
	Reason  error  // of the NATS client
}

// NewConnectError returns the error of a tool that could not connect to these servers, as in NATS_URL.
func NewConnectError(servers string, reason error) ConnectError {
	return ConnectError{Servers: withoutLogin(servers), Reason: reason}
}

func (e ConnectError) Unwrap() error { return e.Reason }

func (e ConnectError) Error() string {
	server, login := "set NATS_URL", "Set NATS_CREDS_FILE, NATS_NKEY_SEED_FILE, NATS_USER or NATS_TOKEN"
	if e.Context != "" {
		server, login = fmt.Sprintf("correct the url of context %q", e.Context), fmt.Sprintf("Correct the login of context %q", e.Context)
	}
	switch {
	case isRefusal(e.Reason):
		return fmt.Sprintf("NATS at %s refused the login: %v. %s", e.Servers, e.Reason, login)
	case errors.Is(e.Reason, nats.ErrNoServers):
		return fmt.Sprintf("no NATS at %s: start it (or a port-forward to it), %s, or try: capstan demo", e.Servers, server)
	default:
		return fmt.Sprintf("connect to NATS at %s: %v", e.Servers, e.Reason)
	}
}

// JetStream returns the interface to JetStream, in the domain of the settings. Without a domain, that is
// the one of the connected server.
func (c NATSConfig) JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	js, err := jetstream.New(nc)
	if c.JSDomain != "" {
		js, err = jetstream.NewWithDomain(nc, c.JSDomain)
	}
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}

// CheckServer returns an error if the server lacks a feature that Capstan uses: per-message TTL came with
// 2.11 (NATS' ADR-43). The server that is connected stands for its cluster.
func CheckServer(nc *nats.Conn) error {
	var major, minor int
	version := nc.ConnectedServerVersion()
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("read the NATS server's version %q: %w", version, err)
	}
	if major < 2 || (major == 2 && minor < 11) {
		return fmt.Errorf("the NATS server must be 2.11 or newer (got %s)", version)
	}
	return nil
}

// logFailedConnects logs failed tries to connect once a minute; there are several in a second.
func logFailedConnects(log zerolog.Logger) nats.ConnErrHandler {
	sampled := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	return func(_ *nats.Conn, err error) {
		sampled.Warn().Err(err).Msg("cannot connect to NATS, retrying")
	}
}

// logErrors logs what NATS reports apart from a call. Most of it passes by itself, such as a slow consumer. A person
// must act if NATS refuses the login, which it does at every try to connect, or if a limit is reached.
func logErrors(report func(error) bool, log zerolog.Logger) nats.ErrHandler {
	sampled := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	return func(_ *nats.Conn, _ *nats.Subscription, err error) {
		switch {
		case report(err):
		case isRefusal(err):
			sampled.Error().Err(err).Msg("NATS refused the login, retrying")
		default:
			log.Warn().Err(err).Msg("NATS reported an error")
		}
	}
}

// isRefusal reports whether NATS refused the login, or the account reached its limit of subscriptions. Both
// last until a person changes something.
func isRefusal(err error) bool {
	return slices.ContainsFunc([]error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrMaxSubscriptionsExceeded,
	}, func(refusal error) bool { return errors.Is(err, refusal) })
}

// keepAliveOptions say how workers and tools notice and restore a lost connection.
func keepAliveOptions() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
	}
}

// loginOptions are the login of workers and tools, and what they trust.
func loginOptions(cfg NATSConfig) []nats.Option {
	var opts []nats.Option
	addIf := func(isSet bool, opt nats.Option) {
		if isSet {
			opts = append(opts, opt)
		}
	}
	_, creds := cfg.credentials()
	addIf(creds != "", nats.UserCredentials(creds))
	addIf(cfg.User != "", nats.UserInfo(cfg.User, string(cfg.Password)))
	addIf(cfg.Token != "", nats.Token(string(cfg.Token)))
	addIf(cfg.TLS.CAFile != "", nats.RootCAs(cfg.TLS.CAFile))
	addIf(cfg.TLS.CertFile != "", nats.ClientCert(cfg.TLS.CertFile, cfg.TLS.KeyFile))
	addIf(cfg.InboxPrefix != "", nats.CustomInboxPrefix(cfg.InboxPrefix))
	addIf(cfg.NkeySeedFile != "", func(o *nats.Options) error {
		nkey, err := nats.NkeyOptionFromSeed(cfg.NkeySeedFile)
		if err != nil {
			return fmt.Errorf("NATS_NKEY_SEED_FILE: %w", err)
		}
		return nkey(o)
	})
	return opts
}
