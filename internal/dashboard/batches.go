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
	st := s.board.Snapshot().Status(name)
	v := batchView{
		CanAct: s.canAct(), Name: name, Status: st, Done: doneText(st), Bar: statusBar(st), Figures: figuresOf(st), Codes: codesOf(st),
		Groups: s.board.LetterGroups(name), Banners: s.bannersOf(st),
	}
	return view{Title: "Batch " + name, Live: "/live" + batchURL(name), Data: v}, nil
}

// lettersView is what the page of the dead letters shows.
type lettersView struct {
	CanAct bool
	Name   string // of the batch; "" for all
	Groups []board.LetterGroup
	More   int
	Tasks  int
}

// loadLetters returns the dead letters by code and host.
func (s *Server) loadLetters(context.Context, *http.Request) (view, error) {
	v := lettersView{CanAct: s.canAct(), Groups: s.board.LetterGroups("")}
	for _, g := range v.Groups {
		v.Tasks += g.Tasks
	}
	const mostGroups = 300
	v.More = max(0, len(v.Groups)-mostGroups)
	v.Groups = v.Groups[:len(v.Groups)-v.More]
	return view{Title: "Dead letters", Live: "/live/dead-letters", Data: v}, nil
}
