package limits_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/limits"
)

// night is a queue of tasks, and the plan on which they run.
type night struct {
	browsers, workers, tasks int
	run                      func() time.Duration
	others                   func(at time.Duration) int // browsers that another user of the account takes; nil: none
	lag                      time.Duration              // from a workflow's end to its detection, beside a 40th of its run
}

// outcome is how a night went.
type outcome struct {
	ratio    float64 // of the time to the least possible
	refusals float64 // a task
	most     int     // browsers at once
}

// simulation is a night under way, in steps of 100 ms.
type simulation struct {
	night
	at        time.Duration
	limit     limits.Cap
	queued    int
	held      int
	done      int
	waiting   []int           // by worker: tasks that are held and not accepted
	paused    []time.Duration // by worker: until when it submits nothing
	wait      []time.Duration // by worker: how long its last pause was
	workflows []workflow

	refusals    int
	refused     bool // since the last change of the cap
	runningThen int
	runs        []time.Duration // of the workflows, in the order in which they began
	most        int
}

type workflow struct {
	worker         int
	ends, detected time.Duration
}

const step = 100 * time.Millisecond

// play runs the tasks to the end.
func (n night) play() outcome {
	s := simulation{night: n, queued: n.tasks, waiting: make([]int, n.workers), paused: make([]time.Duration, n.workers), wait: make([]time.Duration, n.workers)}
	if s.others == nil {
		s.others = func(time.Duration) int { return 0 }
	}
	s.lag = cmp.Or(s.lag, 500*time.Millisecond)
	for ; s.done < s.tasks; s.at += step {
		if s.at%(2*time.Second) == 0 {
			s.look()
		}
		s.end()
		s.pull()
		s.submit()
	}
	return outcome{ratio: s.at.Seconds() / s.least().Seconds(), refusals: float64(s.refusals) / float64(s.tasks), most: s.most}
}

// least returns the time that the same tasks take if each begins as soon as a browser is free.
func (s *simulation) least() (at time.Duration) {
	left, ends := s.runs, []time.Duration{}
	for ; len(left)+len(ends) > 0; at += step {
		ends = slices.DeleteFunc(ends, func(end time.Duration) bool { return at >= end })
		for len(left) > 0 && len(ends)+s.others(at) < s.browsers {
			ends, left = append(ends, at+left[0]), left[1:]
		}
	}
	return at
}

// look does what a Keeper does.
func (s *simulation) look() {
	before := s.limit
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(s.at)
	s.limit = before.Next(limits.Seen{Plan: s.browsers, Held: s.held, Refused: s.refused, Running: s.runningThen, Delivered: uint64(s.tasks - s.queued)}, now)
	if s.limit != before || s.held > s.limit.InFlight {
		s.refused = false
	}
}

// end lets workers detect the ends of workflows, some time after a browser was freed. A worker that is paused submits
// again then.
func (s *simulation) end() {
	kept := s.workflows[:0]
	for _, w := range s.workflows {
		if s.at < w.detected {
			kept = append(kept, w)
			continue
		}
		s.held--
		s.done++
		s.paused[w.worker] = 0
	}
	s.workflows = kept
}

func (s *simulation) pull() {
	for ; s.queued > 0 && s.held < s.limit.InFlight; s.queued-- {
		s.held++
		s.waiting[rand.IntN(s.workers)]++
	}
}

// submit submits what waits, unless the API refuses it because too many browsers run.
func (s *simulation) submit() {
	inUse := 0
	for _, w := range s.workflows {
		if s.at < w.ends {
			inUse++
		}
	}
	for i := range s.waiting {
		for s.waiting[i] > 0 && s.at >= s.paused[i] {
			if inUse+s.others(s.at) >= s.browsers {
				s.refusals++
				if !s.refused {
					s.refused, s.runningThen = true, len(s.workflows)
				}
				s.wait[i] = min(max(2*s.wait[i], time.Second), time.Minute)
				s.paused[i] = s.at + s.wait[i]*8/10 + rand.N(s.wait[i]*4/10)
				break
			}
			run := s.run()
			s.runs = append(s.runs, run)
			s.wait[i] = 0
			inUse++
			s.waiting[i]--
			s.workflows = append(s.workflows, workflow{i, s.at + run, s.at + run + run/40 + s.lag})
		}
	}
	s.most = max(s.most, inUse)
}

// A queue uses the whole plan, and the API is hardly ever asked for more.
func TestANightUsesTheWholePlan(t *testing.T) {
	long := func() time.Duration { return 5*time.Second + time.Duration(rand.ExpFloat64()*115*float64(time.Second)) }
	short := func() time.Duration {
		return time.Duration(math.Exp(rand.Float64()*rand.Float64()*4.8) * float64(time.Second/2))
	}
	for name, c := range map[string]struct {
		night
		ratio, refusals float64 // at most
	}{
		"one worker":   {night{browsers: 25, workers: 1, tasks: 2000, run: long}, 1.05, 0.02},
		"ten workers":  {night{browsers: 25, workers: 10, tasks: 2000, run: long}, 1.05, 0.02},
		"a small plan": {night{browsers: 5, workers: 2, tasks: 400, run: long}, 1.05, 0.02},
		"a large plan": {night{browsers: 200, workers: 4, tasks: 16000, run: long}, 1.05, 0.02},
		"others for a third of the time": {night{browsers: 25, workers: 3, tasks: 2000, run: long, others: func(at time.Duration) int {
			if at > 50*time.Minute && at < 110*time.Minute {
				return 12
			}
			return 0
		}}, 1.15, 0.1},
		"short tasks, others for a third of the time": {night{browsers: 40, workers: 3, tasks: 4800, run: short, lag: step / 2, others: func(at time.Duration) int {
			if at > 2*time.Minute && at < 5*time.Minute {
				return 20
			}
			return 0
		}}, 1.15, 0.1},
		"others all the time": {night{browsers: 25, workers: 3, tasks: 4000, run: long, others: func(time.Duration) int { return 12 }}, 1.15, 0.25},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.play()
			t.Logf("%.3f of the least time, %.4f refusals a task, %d browsers at once", got.ratio, got.refusals, got.most)
			if got.ratio > c.ratio || got.refusals > c.refusals || got.most > c.browsers {
				t.Errorf("got %+v, want a ratio of %v and %v refusals a task or less, with %d browsers at most", got, c.ratio, c.refusals, c.browsers)
			}
		})
	}
}
