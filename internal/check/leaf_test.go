package check_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// A server of the streams' domain checks permissions without the domain, and a leaf node with it.
func TestAMissingPermissionInADomainIsNamedAsTheServerChecksIt(t *testing.T) {
	t.Parallel()
	deny := func(subject string) []*server.User {
		return []*server.User{{Username: "test", Password: "test"}, {Username: "worker", Password: "worker", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{subject}},
		}}}
	}
	w := newWorld(t)
	hub := start(t, &server.Options{
		JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub", Users: deny("$KV.task_tracker.>"),
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT},
	})
	remote, err := url.Parse(fmt.Sprintf("nats-leaf://test:test@127.0.0.1:%d", hub.leafPort()))
	if err != nil {
		t.Fatal(err)
	}
	leaf := start(t, &server.Options{
		Users:    deny("$JS.hub.API.$KV.task_tracker.>"),
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}},
	})
	w.cfg.NATS.JSDomain, w.cfg.NATS.User, w.cfg.NATS.Password = "hub", "test", "test"
	w.cfg.NATS.URL = hub.ClientURL()
	w.provision()
	w.cfg.NATS.User, w.cfg.NATS.Password = "worker", "worker"
	w.finds(w.check(), `BAD permissions: missing permission: publish to "$KV.task_tracker.>"`)
	w.cfg.NATS.URL = leaf.ClientURL()
	natstest.Eventually(t, func() error { // until the servers have connected
		if got := w.check(); !strings.Contains(got, `BAD permissions: missing permission: publish to "$JS.hub.API.$KV.task_tracker.>"`) {
			return errors.New(got)
		}
		return nil
	})
}
