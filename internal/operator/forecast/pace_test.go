package forecast_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

var night = time.Date(2026, 11, 26, 2, 0, 0, 0, time.Local)

// ran returns records of tasks that ended one every so often until now, each after a run.
func ran(n int, every, run time.Duration, until time.Time) map[string]task.Record {
	all := map[string]task.Record{}
	for i := range n {
		end := until.Add(-time.Duration(i) * every)
		id := fmt.Sprint("t", i)
		all[id] = task.Record{TaskID: id, State: task.Succeeded, SubmittedAt: end.Add(-run), FinishedAt: end, UpdatedAt: end}
	}
	return all
}

// withRunning adds tasks that run since a moment.
func withRunning(all map[string]task.Record, running int, since time.Time) map[string]task.Record {
	for i := range running {
		id := fmt.Sprint("r", i)
		all[id] = task.Record{TaskID: id, State: task.Running, SubmittedAt: since, UpdatedAt: since}
	}
	return all
}

// paceOf is what follows from these records, while so many tasks are in progress at once at most.
func paceOf(all map[string]task.Record, most int) forecast.Pace {
	runs := forecast.NewRuns(night)
	for _, r := range all {
		runs.Add(r)
	}
	pace := runs.Pace()
	pace.Most = most
	return pace
}

func TestAnEstimateFollowsFromTheTasksThatEndedLately(t *testing.T) {
	burst := ran(25, 0, 10*time.Minute, night)
	never := map[string]task.Record{}
	for i := range 1000 { // canceled before they were submitted
		id := fmt.Sprint("c", i)
		never[id] = task.Record{TaskID: id, State: task.Failed, FinishedAt: night, UpdatedAt: night}
	}
	pausedLong := ran(100, 6*time.Second, time.Minute, night.Add(-30*time.Minute))
	for _, tc := range []struct {
		name        string
		all         map[string]task.Record
		most, tasks int
		want        time.Duration // within a fifth; 0: unknown
	}{
		{"ten a minute", ran(600, 6*time.Second, time.Minute, night), 0, 100, 10 * time.Minute},
		{"a batch that began two minutes ago", ran(20, 6*time.Second, 30*time.Second, night), 0, 100, 12 * time.Minute},
		{"few ends count for as long as tasks ran", ran(10, 5*time.Minute, 5*time.Minute, night), 0, 12, time.Hour},
		{"a pause does not count", pausedLong, 0, 100, 10 * time.Minute},
		{"a burst is bounded by the limit", burst, 25, 100, 40 * time.Minute},
		{"nothing has ended lately, but runs are known", ran(100, time.Minute, 5*time.Minute, night.Add(-8*time.Hour)), 10, 60, 30 * time.Minute},
		{"nothing has ended lately, and no limit is known", ran(100, time.Minute, 5*time.Minute, night.Add(-8*time.Hour)), 0, 60, 0},
		{"nothing has ended", withRunning(map[string]task.Record{}, 25, night.Add(-time.Minute)), 25, 60, 0},
		{"two ends are too few", ran(2, time.Minute, time.Minute, night), 0, 10, 0},
		{"what was never submitted does not count", never, 25, 10, 0},
		{"clocks that differ", ran(100, 6*time.Second, time.Minute, night.Add(time.Hour)), 0, 10, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spread, ok := paceOf(tc.all, tc.most).After(tc.tasks)
			got := spread.After(night)
			if ok != (tc.want > 0) {
				t.Fatalf("got %v %v, want %v", got.At.Sub(night), ok, tc.want)
			}
			if at := got.At.Sub(night); ok && (at-tc.want).Abs() > tc.want/5 {
				t.Errorf("got %v, want about %v", at, tc.want)
			}
			if ok && (got.From.After(got.At) || got.To.Before(got.At) || got.From.Equal(got.To)) {
				t.Errorf("got %v to %v, want a range around %v", got.From, got.To, got.At)
			}
		})
	}
}

// Minutes in which nothing ended make the range wide, and not infinite.
func TestARangeIsWiderIfTheMinutesDiffer(t *testing.T) {
	even, _ := paceOf(ran(60, 5*time.Second, time.Minute, night), 0).After(60)
	uneven := withRunning(map[string]task.Record{}, 12, night.Add(-5*time.Minute))
	for i := range 60 { // all in the first and the third minute
		end := night.Add(-time.Duration(i%2)*2*time.Minute - 30*time.Second)
		id := fmt.Sprint("t", i)
		uneven[id] = task.Record{TaskID: id, State: task.Succeeded, SubmittedAt: end.Add(-time.Minute), FinishedAt: end, UpdatedAt: end}
	}
	got, ok := paceOf(uneven, 0).After(60)
	if width, want := got.Most-got.Least, even.Most-even.Least; !ok || width <= want || got.Most > time.Hour {
		t.Errorf("got %v to %v, want a wider range than %v, within the hour", got.Least, got.Most, want)
	}
}

func TestATaskIsLikelyToEndAsThoseThatRanForLonger(t *testing.T) {
	all := map[string]task.Record{}
	for i := range 100 { // one to a hundred minutes
		id := fmt.Sprint("t", i)
		run := time.Duration(i+1) * time.Minute
		all[id] = task.Record{TaskID: id, State: task.Succeeded, SubmittedAt: night.Add(-run), FinishedAt: night, UpdatedAt: night}
	}
	for _, tc := range []struct {
		name    string
		elapsed time.Duration
		tasks   int
		want    time.Duration // 0: unknown
	}{
		{"it begins now", 0, 1, 50 * time.Minute},
		{"it runs for longer than half of them", 60 * time.Minute, 1, 20 * time.Minute},
		{"the last of many runs for longer", 0, 25, 97 * time.Minute},
		{"it runs for longer than nearly all", 98 * time.Minute, 1, 0},
		{"it runs for longer than all", 3 * time.Hour, 1, 0},
	} {
		got, ok := paceOf(all, 0).Rest(tc.elapsed, tc.tasks)
		if ok != (tc.want > 0) || ok && (got.Likely-tc.want).Abs() > 2*time.Minute {
			t.Errorf("%s: got %v %v, want %v", tc.name, got.Likely, ok, tc.want)
		}
	}
}

// Of very many runs most are forgotten on the way.
func TestOnlyTheLastOfManyRunsCount(t *testing.T) {
	all := ran(20_000, 6*time.Second, 10*time.Minute, night.Add(-100*time.Minute))
	for id, r := range ran(1000, 6*time.Second, time.Minute, night) {
		all["last-"+id] = r
	}
	pace := paceOf(all, 0)
	if rest, ok := pace.Rest(0, 1); !ok || rest.Most != time.Minute {
		t.Errorf("got %+v, want the minute that the last tasks ran", rest)
	}
	if got := pace.PerMinute(); got < 9.5 || got > 10.5 {
		t.Errorf("got %v a minute, want 10", got)
	}
}
