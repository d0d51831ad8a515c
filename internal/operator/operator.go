// Package operator is what people do with a queue of tasks: look at it, add to it, and steer it. It is behind the commands
// of the tool. It reads and writes NATS only, so it works while all workers are stopped.
package operator

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
)

// Queue is a queue of tasks as an operator sees it: its streams and buckets.
type Queue struct {
	Conn   *nats.Conn
	JS     jetstream.JetStream // in the JetStream domain of the settings
	Config app.Config          // the names of the streams and buckets
}
