package redact_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// The bytes that are allocated in total are more than those in use at any time, so this bounds both.
func TestMemoryAndTimeAreProportionalToTheText(t *testing.T) {
	for _, tc := range cases {
		size := 1 << 15
		if len(tc.text) <= len("abababac") { // fast cases, some of which have secrets of half a megabyte
			size = 1 << 20
		}
		in := repeat(tc.text, size)
		began := time.Now()
		if got, most := allocated(func() { tc.secrets.Text(in) }), 24*len(in)+100<<10; got > most {
			t.Errorf("%s: got %d bytes for a text of %d, want %d at most", tc.name, got, len(in), most)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: took %v", tc.name, took)
		}
	}
}

// Such a request once took 1.2 GiB: a secret of one letter, and a text of that letter after escapes of all kinds.
func TestAShortSecretInALongTextTakesLittleMemory(t *testing.T) {
	s := redact.New(redact.Secret{Name: "A", Value: "a"})
	in := []byte(`"+%41\\n` + repeat("a", 1<<20) + `"`)
	var out []byte
	if got := allocated(func() { out = s.JSON(in) }); got > 8*len(in) {
		t.Errorf("got %d bytes for a text of %d, want eight times as many at most", got, len(in))
	}
	if want := `"+%41\\n[redacted:A]"`; string(out) != want {
		t.Errorf("got %.100s, want %s", out, want)
	}
}
