package limits_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is what workers share: a consumer, a store, and an account.
type fleet struct {
	mu       sync.Mutex
	held     int
	most     int // of the consumer
	changes  int // of most
	denied   error
	plan     int
	noPlan   error
	running  int
	refusals map[int]uint64 // by worker

	sessions   limits.Sessions
	noSessions error
	counts     int // of the sessions

	value    []byte
	revision uint64
	noStore  error
	readOnly error
}

func newFleet() *fleet { return &fleet{most: 10000, plan: 25, refusals: map[int]uint64{}} }

func (f *fleet) Pending(context.Context) (limits.Pending, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return limits.Pending{Held: f.held, Most: f.most}, nil
}

func (f *fleet) SetMost(_ context.Context, most int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.denied == nil {
		f.most = most
		f.changes++
	}
	return f.denied
}

func (f *fleet) Get(context.Context, string) ([]byte, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.revision, f.noStore
}

func (f *fleet) Put(_ context.Context, _ string, value []byte, revision uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(f.noStore, f.readOnly); err != nil {
		return err
	}
	if revision != f.revision {
		return task.ErrConflict
	}
	f.value, f.revision = value, revision+1
	return nil
}

// keeper is that of one worker.
func (f *fleet) keeper(worker, most int) *limits.Keeper {
	return limits.New(most, limits.Parts{
		Plan:     func(context.Context) (int, error) { return f.plan, f.noPlan },
		Consumer: f, Store: f,
		Running:  func(context.Context) (int, error) { return f.running, nil },
		Sessions: f.count,
		Refusals: func() uint64 {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.refusals[worker]
		},
	}, prometheus.NewRegistry(), zerolog.Nop())
}

// look lets all workers look once, and then two seconds pass.
func look(t *testing.T, keepers ...*limits.Keeper) {
	t.Helper()
	for _, k := range keepers {
		k.Look(t.Context())
	}
	<-time.After(2 * time.Second)
}

// looks lets all workers look this many times.
func looks(t *testing.T, times int, keepers ...*limits.Keeper) {
	t.Helper()
	for range times {
		look(t, keepers...)
	}
}

// refusedKeeper is that of a worker that was refused while this many of its 25 tasks ran, and has looked since.
func (f *fleet) refusedKeeper(t *testing.T, running int) *limits.Keeper {
	t.Helper()
	k := f.keeper(1, 0)
	look(t, k)
	<-time.After(10 * time.Second)
	f.held, f.running, f.refusals[1] = 25, running, 1
	look(t, k)
	return k
}

func (f *fleet) want(t *testing.T, most int) {
	t.Helper()
	if f.most != most {
		t.Errorf("got %d as the consumer's max ack pending, want %d", f.most, most)
	}
}

func TestTheCapIsThePlan(t *testing.T) {
	for name, c := range map[string]struct{ plan, setting, want int }{
		"auto":                     {25, 0, 25},
		"a setting below the plan": {25, 10, 10},
		"a setting above the plan": {25, 100, 25},
		"no limit":                 {-1, 0, 10000},
		"no limit, and a setting":  {-1, 500, 500},
		"no limit, a high setting": {-1, 20000, 20000},
		"not told":                 {0, 0, 10000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.plan = c.plan
				k := f.keeper(1, c.setting)
				look(t, k)
				f.want(t, c.want)
				if got := k.Describe(); !strings.Contains(got, "tasks in progress on all workers: ") {
					t.Errorf("got %q, want the cap and its reason", got)
				}
			})
		})
	}
}

// A worker that cannot ask for the plan keeps what others know.
func TestAnUnknownPlanChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		look(t, f.keeper(1, 0))
		f.noPlan = errors.New("no answer")
		second := f.keeper(2, 0)
		looks(t, 20, second)
		f.want(t, 25)
	})
}

// A question that was not answered is repeated soon.
func TestAPlanThatWasNotToldIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.noPlan = errors.New("no answer")
		k := f.keeper(1, 0)
		look(t, k)
		f.want(t, 10000)
		f.noPlan = nil
		looks(t, 15, k)
		f.want(t, 25)
	})
}

func TestANewPlanIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.keeper(1, 0)
		look(t, k)
		for _, plan := range []int{200, 5, 25} {
			f.plan = plan
			<-time.After(5 * time.Minute)
			for range 10 { // a plan counts once it is told twice
				look(t, k)
			}
			f.want(t, plan)
		}
	})
}

// Ten workers that are refused lower the cap once, not ten times, and all follow.
func TestRefusalsLowerTheCapOnceForAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var keepers []*limits.Keeper
		for worker := range 10 {
			keepers = append(keepers, f.keeper(worker, 0))
		}
		look(t, keepers...)
		<-time.After(10 * time.Second)
		f.held, f.running = 25, 17
		for worker := range 10 {
			f.refusals[worker] = 3
		}
		look(t, keepers...)
		f.want(t, 17)
		f.held = 17
		looks(t, 5, keepers...) // the old refusals have had their effect
		f.want(t, 17)
		if f.changes != 2 {
			t.Errorf("got %d changes of the consumer, want 2", f.changes)
		}
	})
}

// While tasks from before the change are held, their refusals do not lower the cap any further.
func TestTasksFromBeforeDoNotLowerTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.refusedKeeper(t, 17)
		for range 20 {
			f.refusals[1]++
			look(t, k)
		}
		f.want(t, 17)
	})
}

// Each raise that comes too early costs a refusal, so the next one waits longer.
func TestTheCapGrowsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.refusedKeeper(t, 10)
		f.want(t, 12) // half of it at least
		began := time.Now()
		for f.most < 25 {
			f.held = f.most
			look(t, k)
			why := "rising again after the API refused more"
			if f.most == 25 {
				why = "the plan runs 25 browsers"
			}
			if got := k.Describe(); f.most > f.held && !strings.HasSuffix(got, why) {
				t.Errorf("got %q, want %q", got, why)
			}
			if took := time.Since(began); took > 5*time.Minute {
				t.Fatalf("got %d after %v, want the plan", f.most, took)
			}
		}
	})
}

func TestACapThatIsNotUsedIsNotRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.refusedKeeper(t, 20)
		f.held = 3
		looks(t, 100, k)
		f.want(t, 20)
	})
}

func TestValuesThatNoWorkerWroteAreReplaced(t *testing.T) {
	for _, value := range []string{
		"", "null", "{}", "[]", "25", `{"in_flight":-1}`, `{"in_flight":1e9,"changed_at":"2026-01-01T00:00:00Z"}`, "\xff",
		`{"in_flight":1,"plan":5,"changed_at":"2020-01-01T00:00:00Z","steps":-5}`, `{"in_flight":1,"changed_at":"2020-01-01T00:00:00Z","wait":-1}`,
		`{"in_flight":1,"changed_at":"2020-01-01T00:00:00Z","wait":9223372036854775807}`, `{"in_flight":1,"changed_at":"2020-01-01T00:00:00Z","plan":1e9}`,
		`{"in_flight":1,"changed_at":"2020-01-01T00:00:00Z","most":-1}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			f.value, f.revision = []byte(value), 7
			look(t, f.keeper(1, 0))
			f.want(t, 25)
			var c limits.Cap
			if err := json.Unmarshal(f.value, &c); err != nil || c.InFlight != 25 || c.Plan != 25 || c.Reason == "" {
				t.Errorf("value %q: got %s, want the plan", value, f.value)
			}
		})
	}
}
