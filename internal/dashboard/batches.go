package dashboard

import (
	"context"
	"net/http"

	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
)

// mostBatches is how many batches the list shows.
const mostBatches = 200

// batchesView is what the list of batches shows.
type batchesView struct {
	Batches batchRows
	More    int
}

// loadBatches returns the list of batches: those with open tasks first.
func (s *Server) loadBatches(context.Context, *http.Request) (view, error) {
	all := s.board.Snapshot().Batches()
	v := batchesView{More: max(0, len(all)-mostBatches)}
	for _, b := range all[:min(len(all), mostBatches)] {
		v.Batches = append(v.Batches, batchRowOf(b))
	}
	return view{Title: "Batches", Live: "/live/batches", Data: v}, nil
}

// batchView is what the page of a batch shows.
type batchView struct {
	CanAct  bool
	Name    string
	Status  inspect.Status
	Done    string
	Bar     bar
	Figures []figure
	Codes   []codeCount
	Groups  []board.LetterGroup // of its dead letters
	Banners []banner
}

// loadBatch returns the page of a batch. One of which no task is known has a page as well: its requests may come.
func (s *Server) loadBatch(_ context.Context, r *http.Request) (view, error) {
	name := r.PathValue("name")
	if err := request.CheckBatch(name); err != nil {
		return view{}, badRequest("%v", err)
	}
	snapshot := s.board.Snapshot()
	st, refused := snapshot.Status(name), snapshot.Refused[name]
	v := batchView{
		CanAct: s.canAct(), Name: name, Status: st, Done: doneText(st), Bar: statusBar(st), Figures: figuresOf(st, refused), Codes: codesOf(st, refused),
		Groups: s.board.LetterGroups(board.LetterFilter{Batch: name}), Banners: s.bannersOf(st),
	}
	return view{Title: "Batch " + name, Live: "/live" + batchURL(name), Data: v}, nil
}
