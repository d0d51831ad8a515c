package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/capstan-worker/capstan/internal/streams"
)

// connectNATS connects with a context of the nats command if the environment names one, and else with cfg. It completes
// cfg with what the context says. The context that is selected in the nats command has no effect: a command that changes a
// queue must not depend on it.
func connectNATS(cfg *streams.NATSConfig, opts ...nats.Option) (*nats.Conn, error) {
	if name := os.Getenv(contextVariable); name != "" {
		return connectByContext(name, cfg, opts...)
	}
	return streams.ConnectTool(*cfg, opts...)
}

// connectByContext connects with a context. It returns a usageError for one that does not exist, cannot be used, or needs
// what only the nats command can do.
func connectByContext(name string, cfg *streams.NATSConfig, opts ...nats.Option) (*nats.Conn, error) {
	var servers []string
	noteServers := func(o *nats.Options) error { servers = o.Servers; return nil }
	nc, settings, err := natscontext.Connect(name, slices.Concat(streams.ToolOptions(), []nats.Option{noteServers}, opts)...)
	switch {
	case err != nil && servers == nil: // the options of the context are applied before noteServers, and read its files
		return nil, usageError{fmt.Errorf("context %q cannot be used: %w (see: nats context ls)", name, err)}
	case err != nil:
		refused := streams.NewConnectError(strings.Join(servers, ","), err)
		refused.Context = name
		return nil, refused
	}
	for field, value := range map[string]string{
		"nsc": settings.NSCLookup, "user_jwt": settings.UserJwt, "jetstream_api_prefix": settings.JSAPIPrefix,
	} {
		if value != "" {
			nc.Close()
			return nil, usageError{fmt.Errorf("context %q cannot be used: capstan does not support its %s; set NATS_URL and the login instead", name, field)}
		}
	}
	cfg.URL, cfg.JSDomain, cfg.InboxPrefix = cmp.Or(settings.URL, nats.DefaultURL), settings.JSDomain, settings.InboxPrefix
	return nc, nil
}
