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

func TestThereIsHeadroomBetweenTwoCollections(t *testing.T) {
	for used, want := range map[uint64]int{0: 800, 4 << 20: 800, 8 << 20: 400, 32 << 20: 100, 64 << 20: 50, 128 << 20: 25, 4 << 30: 25} {
		if got := gcpacer.Percent(used, time.Minute); got != want {
			t.Errorf("got %d %% for %d MiB in use, want %d %%", got, used>>20, want)
		}
	}
}

func TestThereIsMoreHeadroomWhenCollectionsAreFrequent(t *testing.T) {
	for used, want := range map[uint64]int{0: 1600, 8 << 20: 800, 64 << 20: 100, 128 << 20: 50, 256 << 20: 25, 4 << 30: 25} {
		if got := gcpacer.Percent(used, time.Second/2); got != want {
			t.Errorf("got %d %% for %d MiB in use, want %d %%", got, used>>20, want)
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
