package dashboard

import (
	"context"
	"net/http"
	"net/url"

	"github.com/capstan-worker/capstan/internal/operator/board"
)

const (
	mostGroups  = 300
	mostLetters = 100 // in the list of one kind
)

// lettersView is what the page of the dead letters shows.
type lettersView struct {
	Name    string // of the batch; "" for all
	Scope   string // the filter for people; "" if all are shown
	Groups  []board.LetterGroup
	More    int
	Tasks   int
	Letters []board.Letter // one by one, if there is a filter
	Hidden  int            // letters that the list does not have
}

// loadLetters returns the dead letters by code and host. With a filter in the address they are listed one by one as well: a
// request that was refused is in no list of tasks.
func (s *Server) loadLetters(_ context.Context, r *http.Request) (view, error) {
	q := r.URL.Query()
	f := board.LetterFilter{Code: q.Get("code"), Host: q.Get("host"), Batch: q.Get("batch")}
	v := lettersView{Name: f.Batch, Scope: scopeText(url.Values{"code": {f.Code}, "host": {f.Host}, "batch": {f.Batch}}), Groups: s.board.LetterGroups(f)}
	for _, g := range v.Groups {
		v.Tasks += g.Tasks
	}
	v.More = max(0, len(v.Groups)-mostGroups)
	v.Groups = v.Groups[:len(v.Groups)-v.More]
	if f != (board.LetterFilter{}) {
		v.Letters = s.board.ListLetters(f, mostLetters)
		v.Hidden = max(0, v.Tasks-len(v.Letters)) // one may have been stored meanwhile
	}
	return view{Title: "Dead letters", Live: "/live" + lettersURL("code", f.Code, "host", f.Host, "batch", f.Batch), Data: v}, nil
}
