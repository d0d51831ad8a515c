package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports chooses free ports. The zero value is ready for use, by any number of goroutines.
type Ports struct{ given atomic.Uint32 }

// Free returns a port of 127.0.0.1 that nothing listens on and that it has not returned before. The port lies below
// those that the system uses for outgoing connections, so that it is also free after a restart.
func (p *Ports) Free(ctx context.Context) (int, error) {
	const first, count = 20_000, 12_000
	p.given.CompareAndSwap(0, 1+rand.Uint32N(count))
	var config net.ListenConfig
	for range 100 {
		port := first + int(p.given.Add(1)%count)
		listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d on", first)
}
