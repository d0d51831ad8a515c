package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// page is one of the pages that show the queue.
type page struct {
	name string // of its template, and of its link in the navigation

	// load returns what the template shows. It may be called for many visitors at once, and its result is shared by all
	// that ask for the same address.
	load func(ctx context.Context, r *http.Request) (view, error)
}

// view is what a page shows.
type view struct {
	Title string
	Live  string // the address of what keeps the page up to date; "" for a page that does not change any more
	Data  any
}

// problem is an error that a visitor sees, with a status of HTTP.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

// badRequest says what is wrong with an address or a form.
func badRequest(format string, args ...any) error {
	return problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// fragments are the pages as they were last rendered, without what surrounds them: 20 open pages cost what one does.
type fragments struct {
	mu     sync.Mutex
	number uint64               // of the reading that they show
	began  time.Time            // when the first of them was rendered
	all    map[string]*fragment // by address
}

// fragment is a page as it was rendered once.
type fragment struct {
	once sync.Once
	view view
	html []byte
	err  error
}

// mostFragments bounds how many pages are kept.
const mostFragments = 200

func newFragments() *fragments { return &fragments{all: map[string]*fragment{}} }

// of returns the fragment of an address for a reading: the one that was rendered for it before, if there is one.
func (f *fragments) of(key string, number uint64) *fragment {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number != number || time.Since(f.began) > 2*refreshInterval || len(f.all) >= mostFragments {
		f.number, f.began = number, time.Now()
		clear(f.all)
	}
	if f.all[key] == nil {
		f.all[key] = &fragment{}
	}
	return f.all[key]
}

// render returns a page as of a reading, without what surrounds it.
func (s *Server) render(ctx context.Context, p page, r *http.Request, number uint64) (view, []byte, error) {
	f := s.fragments.of(r.URL.RequestURI(), number)
	f.once.Do(func() {
		// A visitor who leaves must not spoil it for the others.
		loading, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		if f.view, f.err = p.load(loading, r); f.err == nil {
			f.html, f.err = s.pages.render(p.name, f.view.Data)
		}
	})
	return f.view, f.html, f.err
}

// loadTimeout bounds what a page reads from NATS itself.
const loadTimeout = 15 * time.Second
