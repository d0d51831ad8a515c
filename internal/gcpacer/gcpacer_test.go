package gcpacer_test

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/gcpacer"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestThePercentageFollowsTheMemoryInUseAndTheInterval(t *testing.T) {
	for interval, wants := range map[time.Duration]map[uint64]int{ // by MiB in use
		time.Second / 2: {0: 1600, 8: 800, 64: 100, 128: 50, 256: 25, 4096: 25},
		time.Second:     {0: 800, 4: 800, 8: 400, 32: 100, 64: 50, 128: 25, 4096: 25},
		time.Minute:     {0: 800, 4: 800, 8: 400, 32: 100, 64: 50, 128: 25, 256: 12, 4096: 5},
	} {
		for used, want := range wants {
			if got := gcpacer.Percent(used<<20, interval); got != want {
				t.Errorf("got %d %% for %d MiB in use and collections %v apart, want %d %%", got, used, interval, want)
			}
		}
	}
}

func TestThePaceFollowsTheMemoryInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	gcpacer.Pace()
	held := make([]byte, 512<<20)
	await(t, func(percent int) bool { return percent == 25 })
	runtime.KeepAlive(held)
	held = nil
	await(t, func(percent int) bool { return percent > 100 })
	runtime.KeepAlive(held)
}

// await collects until the percentage is right.
func await(t *testing.T, right func(percent int) bool) {
	t.Helper()
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	natstest.Eventually(t, func() error {
		runtime.GC()
		metrics.Read(percent)
		if got := int(percent[0].Value.Uint64()); !right(got) {
			return fmt.Errorf("got %d %%", got)
		}
		return nil
	})
}
