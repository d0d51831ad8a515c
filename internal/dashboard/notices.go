package dashboard

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// notices are the sentences about what visitors have just done. The next page shows one by its key in the address, so that
// nobody can make up a sentence with a link.
type notices struct {
	mu   sync.Mutex
	all  map[string]string // guarded by mu
	keys []string          // in the order in which they were added; guarded by mu
}

// mostNotices is how many are kept. The oldest goes first.
const mostNotices = 200

func newNotices() *notices { return &notices{all: map[string]string{}} }

// add keeps a sentence and returns its key.
func (n *notices) add(text string) (key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key = rand.Text()
	n.all[key] = text
	if n.keys = append(n.keys, key); len(n.keys) > mostNotices {
		delete(n.all, n.keys[0])
		n.keys = n.keys[1:]
	}
	return key
}

// text returns the sentence with a key, or "".
func (n *notices) text(key string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[key]
}

// done sends the visitor from a form to a page that says what was done, so that a reload does not do it again.
func (s *Server) done(w http.ResponseWriter, path, text string) {
	s.reader.demand()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	redirect(w, path+separator+url.Values{"notice": {s.notices.add(text)}}.Encode())
}
