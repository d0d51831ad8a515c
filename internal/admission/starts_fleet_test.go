package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
)

// Whatever the quota, however slow the API, and however the tasks are spread: workers are hardly refused, and no start is
// wasted.
func TestWorkersThatShareAreNotRefusedAndWasteNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		workers, quota, tasks int
		latency               time.Duration
		one                   bool // one worker has all tasks
		aligned               bool
		silent                func(post int, accepted bool) bool
	}{
		"one worker":             {workers: 1, quota: 25, tasks: 500},
		"one worker, 5":          {workers: 1, quota: 5, tasks: 100},
		"one worker, aligned":    {workers: 1, quota: 25, tasks: 500, aligned: true},
		"ten workers":            {workers: 10, quota: 25, tasks: 500},
		"ten workers, 5":         {workers: 10, quota: 5, tasks: 200},
		"ten workers, 100":       {workers: 10, quota: 100, tasks: 2000},
		"ten workers, aligned":   {workers: 10, quota: 25, tasks: 500, aligned: true},
		"ten workers, slow":      {workers: 10, quota: 25, tasks: 500, latency: 5 * time.Second},
		"ten workers, very slow": {workers: 10, quota: 25, tasks: 500, latency: 20 * time.Second, aligned: true},
		"tasks at one of ten":    {workers: 10, quota: 25, tasks: 500, one: true},
		"half of headers lost":   {workers: 10, quota: 25, tasks: 500, silent: func(post int, _ bool) bool { return post%2 == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &account{quota: tt.quota, window: time.Minute, latency: max(tt.latency, 500*time.Millisecond), aligned: tt.aligned, silent: tt.silent}
				fleet := newFleet(t, api, tt.workers, &store{})
				refused, took := runAll(t, fleet, tt.tasks, tt.one)
				longest := 1.05
				if tt.silent != nil {
					longest = 1.1 // a start that is counted twice is wasted
				}
				if refused > 0.02 || took > longest {
					t.Errorf("got %.4f refusals a task in %.3f of the least time, want at most 0.02 in %.2f", refused, took, longest)
				}
				t.Logf("%.4f refusals a task in %.3f of the least time", refused, took)
			})
		})
	}
}

// Workers that do not know yet that the API tells anything fill their slots once. From then on they are not refused.
func TestWorkersLearnFromTheFirstRefusals(t *testing.T) {
	for _, tt := range []struct{ workers, quota, tasks int }{{1, 5, 100}, {1, 25, 500}, {3, 25, 500}, {10, 25, 500}} {
		synctest.Test(t, func(t *testing.T) {
			api := &account{quota: tt.quota, window: time.Minute, latency: 500 * time.Millisecond}
			shared := &store{}
			var fleet []worker
			for range tt.workers {
				a := newAdmission(16, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared, Workers: tt.workers})
				fleet = append(fleet, worker{a, api})
			}
			_, took := runAll(t, fleet, tt.tasks, false)
			if most := max(0, 16*tt.workers-tt.quota) + 8; api.refused > most || took > 1.05 {
				t.Errorf("%+v: got %d refusals, and %.3f of the least time, want %d in 1.05 at most", tt, api.refused, took, most)
			}
		})
	}
}

// Without the store, a worker takes its share by what its own answers tell. It is refused less often than one that reads
// no headers (0.4 to 9 refusals a task here), at the price of starts that no worker takes.
func TestWorkersWithoutAStoreTakeTheirShare(t *testing.T) {
	for name, tt := range map[string]struct {
		quota, tasks  int
		one           bool
		refused, took float64
	}{
		"ten workers":         {25, 500, false, 0.6, 1.1},
		"ten workers, 5":      {5, 200, false, 1.5, 2},
		"ten workers, 100":    {100, 2000, false, 0.3, 1.1},
		"tasks at one of ten": {25, 500, true, 0.02, 1.6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &account{quota: tt.quota, window: time.Minute, latency: 500 * time.Millisecond}
				refused, took := runAll(t, newFleet(t, api, 10, nil), tt.tasks, tt.one)
				if refused > tt.refused || took > tt.took {
					t.Errorf("got %.4f refusals a task in %.3f of the least time, want at most %v in %v", refused, took, tt.refused, tt.took)
				}
				t.Logf("%.4f refusals a task in %.3f of the least time", refused, took)
			})
		})
	}
}

// The store may fail at any time, and be there again.
func TestWorkersGoOnWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &store{}
		api := &account{quota: 25, window: time.Minute, latency: 500 * time.Millisecond}
		fleet := newFleet(t, api, 3, shared)
		shared.fail(errStore)
		if refused, took := runAll(t, fleet, 150, false); refused > 0.3 || took > 1.3 {
			t.Errorf("without the store: got %.4f refusals a task in %.3f of the least time", refused, took)
		}
		shared.fail(nil)
		<-time.After(2 * time.Minute)
		if refused, took := runAll(t, fleet, 150, false); refused > 0.02 || took > 1.05 {
			t.Errorf("with the store again: got %.4f refusals a task in %.3f of the least time", refused, took)
		}
	})
}

// One call that fails costs a worker a moment: it must not take only its share until all others are done.
func TestAWorkerIsNotAloneForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &store{}
		api := &account{quota: 10, window: 3 * time.Second, latency: 100 * time.Millisecond}
		fleet := newFleet(t, api, 3, shared)
		shared.fail(errStore)
		fleet[0].Join(t.Context(), admission.Fleet{Store: shared, Workers: 3})
		shared.fail(nil)
		if refused, took := runAll(t, fleet, 60, false); refused > 0.1 || took > 1.1 {
			t.Errorf("got %.4f refusals a task in %.3f of the least time, want at most 0.1 in 1.1", refused, took)
		}
	})
}

// A worker that crashes takes its submissions under way with it only until the end of the window.
func TestStartsOfACrashedWorkerAreFreeInTheNextWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &account{quota: 5, window: time.Minute, latency: 500 * time.Millisecond}
		fleet := newFleet(t, api, 2, &store{})
		for range 4 {
			acquire(t, fleet[0].Admission) // it never releases them
		}
		began := time.Now()
		for range 6 {
			if err := fleet[1].run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(began); got > 65*time.Second || api.refused != 0 {
			t.Errorf("got 6 tasks in %v with %d refusals, want one window without any", got, api.refused)
		}
	})
}

// In a long window, they are free when no POST can be under way any more.
func TestStartsOfACrashedWorkerAreFreeAfterTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &account{quota: 6, window: time.Hour, latency: 500 * time.Millisecond}
		fleet := newFleet(t, api, 2, &store{})
		runEach(t, fleet[1], 1)
		for range 4 {
			acquire(t, fleet[0].Admission) // it never releases them
		}
		began := time.Now()
		runEach(t, fleet[1], 5)
		if got := time.Since(began); got < 2*time.Minute || got > 125*time.Second || api.refused != 0 {
			t.Errorf("got 5 tasks in %v with %d refusals, want 2m without any", got, api.refused)
		}
	})
}
