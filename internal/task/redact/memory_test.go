package redact_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

// allocated returns how many bytes are allocated while do runs.
func allocated(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// What is allocated in all is more than what is held at once, so this bounds both.
func TestMemoryAndTimeAreBoundedByTheText(t *testing.T) {
	for _, tc := range cases {
		size := 1 << 15
		if len(tc.text) <= len("abababac") { // what is quick, and has secrets that are as long
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

// The text of a request that once took 1.2 GiB: one secret of a letter, and that letter behind escapes of all kinds.
func TestAShortSecretInALongTextTakesAFewTimesTheText(t *testing.T) {
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
