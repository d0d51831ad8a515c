package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

// overview is what the first page shows.
type overview struct {
	CanAct  bool
	Status  inspect.Status
	Done    string
	Banners []banner
	Figures []figure
	Codes   []codeCount
	Limit   string
	Use     bar
	Chart   chart
	Workers []worker
	Hosts   []board.HostCount
	Batches batchRows
	More    int // open batches that are not shown
	Notes   []string
}

// worker is a row of the table of workers.
type worker struct {
	fleet.Status
	State  string
	Class  string // "bad" if a person is needed
	Detail string // what stops its submissions or polls, or ""
}

const (
	mostWorkers   = 200
	mostHosts     = 10
	mostOpenShown = 8
)

// loadOverview returns the first page.
func (s *Server) loadOverview(context.Context, *http.Request) (view, error) {
	snapshot := s.board.Snapshot()
	st, refused := snapshot.Status(""), snapshot.Refused[""]
	o := overview{
		CanAct: s.canAct(), Status: st, Done: doneText(st), Banners: s.bannersOf(st), Figures: figuresOf(st, refused), Codes: codesOf(st, refused),
		Limit: limitText(st), Use: useBar(st), Chart: chartOf(s.board.Minutes()), Workers: workersOf(st),
		Hosts: s.board.FailingHosts(mostHosts), Notes: st.Notes,
	}
	for _, b := range snapshot.Batches() {
		switch {
		case b.All() == b.Ended: // the rest have ended as well
		case len(o.Batches) < mostOpenShown:
			o.Batches = append(o.Batches, batchRowOf(b))
		default:
			o.More++
		}
	}
	return view{Title: "Overview", Live: "/live/", Data: o}, nil
}

// workersOf returns the rows of the workers.
func workersOf(st inspect.Status) (all []worker) {
	for _, w := range st.Workers[:min(len(st.Workers), mostWorkers)] {
		all = append(all, workerRow(w))
	}
	return all
}

// workerRow returns the row of a worker. What needs a person comes before what ends by itself.
func workerRow(w fleet.Status) worker {
	row := worker{Status: w, State: "ok", Class: "good"}
	for _, stops := range []struct{ what, text string }{{"submissions", w.Submissions}, {"polls", w.Polls}} {
		p := inspect.ParseWorkerPause(stops.text)
		if stops.text == "" || stops.text == "ok" || row.Class == "bad" || row.Class == "idle" && !p.NeedsPerson() {
			continue
		}
		row.State, row.Class, row.Detail = "paused", "idle", stops.what+untilText(p.Until)+": "+line(p.Cause)
		if p.Waits {
			row.State = "waiting"
		}
		if p.NeedsPerson() {
			row.Class = "bad"
		}
	}
	return row
}

// useBar shows how many of the tasks that the workers may hold they hold, and how many of these run. Only a task that runs
// needs a browser.
func useBar(st inspect.Status) bar {
	held, most := st.Limit.Held, st.Limit.InFlight
	run := min(st.Submitting+st.Running, held)
	b := bar{Label: fmt.Sprintf("The bar counts tasks: %s running, %s on workers but not running, %s free", grouped(run), grouped(held-run), counted(max(most-held, 0), "slot"))}
	return b.with(most, segment{Class: "busy", Count: run}, segment{Class: "idle", Count: held - run})
}

// batchRow is a row of a table of batches.
type batchRow struct {
	inspect.BatchCount
	Bar bar
}

// batchRows are the rows of a table of batches.
type batchRows []batchRow

// HaveCost reports whether it is known of one of the batches what its tasks used. Without sessions it is not.
func (rows batchRows) HaveCost() bool {
	return slices.ContainsFunc(rows, func(b batchRow) bool { return !b.Cost.IsZero() })
}

// batchRowOf returns the row of a batch.
func batchRowOf(b inspect.BatchCount) batchRow {
	return batchRow{b, batchBar(b.Ended-b.Failed, b.Failed, b.Running, b.All())}
}

// batchBar shows how far a batch is.
func batchBar(succeeded, failed, running, all int) bar {
	b := bar{Label: fmt.Sprintf("%d succeeded, %d failed, %d running, of %d", succeeded, failed, running, all)}
	return b.with(all, segment{Class: "good", Count: succeeded}, segment{Class: "bad", Count: failed}, segment{Class: "busy", Count: running})
}

// statusBar shows how far the tasks of a status are.
func statusBar(st inspect.Status) bar {
	return batchBar(st.Succeeded, st.Failed, st.Running+st.Submitting, st.Open()+st.Succeeded+st.Failed)
}
