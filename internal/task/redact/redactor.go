package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Redactor replaces secrets in texts. Only one goroutine may use it at a time.
type Redactor struct {
	*tables

	// Kept from one text to the next.
	found  found
	window []seen
	layers []layer
}

// tables are what a search needs to know about the secrets. Redactors may share them. They do not change.
type tables struct {
	// Nil if there are no secrets.
	machine *automaton
	// By the secret's index, which counts from 1.
	marks  []string
	quoted []string // the same marks as they are written in a JSON string
	// The secrets that may be JSON numbers, with their indexes.
	numbers map[string]uint16
}

// maxLayers is the greatest number of layers of escaping that are removed: that of the JSON string and two in it.
const maxLayers = 3

// maxName is how many bytes of a secret's name a mark shows.
const maxName = 64

// Redactor returns a redactor for the secrets. If there are more than 65,535, it redacts only the longest. Unless the
// secrets are Prepared, it builds its tables first.
func (s Secrets) Redactor() *Redactor {
	if s.tables != nil {
		return &Redactor{tables: s.tables}
	}
	return newRedactor(s.all[:min(len(s.all), maxSecrets)])
}

// newRedactor builds the tables. The secrets are sorted, the longest first, and their index counts from 1.
func newRedactor(all []Secret) *Redactor {
	r := &Redactor{tables: &tables{}}
	if len(all) == 0 {
		return r
	}
	r.machine = newAutomaton(all)
	r.marks, r.quoted, r.numbers = []string{Bare}, []string{Bare}, map[string]uint16{}
	var index uint16
	for _, secret := range all {
		index++
		if beginsNumber(secret.Value[0]) {
			r.numbers[secret.Value] = index
		}
		mark := r.Mark(secret.Name)
		r.marks, r.quoted = append(r.marks, mark), append(r.quoted, inString(mark))
	}
	return r
}

// Mark returns what replaces the secret with this name: "[redacted:NAME]". If the name is empty or contains a secret, it
// returns "[redacted]".
func (r *Redactor) Mark(name string) string {
	if name == "" || r.Finds([]byte(name)) {
		return Bare
	}
	return "[redacted:" + truncateName(name) + "]"
}

// truncateName cuts a long name between two characters.
func truncateName(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := maxName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}

// Text returns the text with marks instead of secrets. Overlapping hits get one mark, that of the longest secret, and
// adjacent hits with the same mark get one. If marks would make a large text more than twice as long, each mark is "*": the
// result is at most 16 KiB longer than twice the text.
func (r *Redactor) Text(text string) string {
	if r.machine == nil {
		return text
	}
	raw := []byte(text)
	if !r.search(raw, false) {
		return text
	}
	return string(r.Compose(len(raw), func(b *Builder) { b.replace(raw, r.marks) }))
}

// JSON returns a JSON value with marks instead of secrets in its strings and member names, as Text does. A number that is
// written like a secret becomes a string. All other bytes stay the same. If nothing is found, it returns raw itself.
func (r *Redactor) JSON(raw []byte) []byte {
	if r.machine == nil {
		return raw
	}
	return r.Compose(len(raw), func(b *Builder) { b.JSON(raw) })
}

// Compose returns what write writes for an original of size bytes. If marks make that too long, as explained at Text, it
// calls write again with a Builder that writes short marks.
func (r *Redactor) Compose(size int, write func(*Builder)) []byte {
	b := &Builder{redactor: r, size: size}
	write(b)
	if b.tooLong {
		b.bytes, b.short, b.tooLong = b.bytes[:0], true, false
		write(b)
	}
	return b.bytes
}

// Finds reports whether the text contains a secret in any form.
func (r *Redactor) Finds(text []byte) bool { return r.search(text, false) }

// search finds the secrets in a text, or, if quoted is set, in the inside of a JSON string. It records them in r.found and
// reports whether there are any.
func (r *Redactor) search(text []byte, quoted bool) bool {
	r.found.reset(len(text))
	if r.machine == nil {
		return false
	}
	var base []byte
	if quoted && bytes.IndexByte(text, inJSON) >= 0 {
		base = []byte{inJSON}
	}
	plain := r.pass(text, true, base)
	for i := range kinds {
		if !plain.produced[i] {
			continue
		}
		// The text without one kind of escapes, and then without each kind that has come to light inside of
		// those.
		once := r.pass(text, false, base, kinds[i])
		for k := range kinds {
			if once.changed && once.produced[k] {
				r.pass(text, false, base, kinds[i], kinds[k])
			}
		}
	}
	return r.found.any
}

// pass reads the text with these layers of escaping removed, those of base first. all is set for the first pass.
func (r *Redactor) pass(text []byte, all bool, base []byte, more ...byte) pass {
	if r.layers == nil && len(base)+len(more) > 0 {
		r.layers = make([]layer, maxLayers)
	}
	n := 0
	for _, part := range [][]byte{base, more} {
		for _, kind := range part {
			r.layers[n] = layer{kind: kind, text: text}
			if n > 0 {
				r.layers[n].inner = &r.layers[n-1]
			}
			n++
		}
	}
	// The window keeps its memory from one pass to the next.
	p := pass{machine: r.machine, found: &r.found, window: r.window[:0], bound: smallWindow, all: all}
	p.run(text, r.layers[:n])
	r.window = p.window[:0]
	return p
}

// inString returns the text as it is written between the quotes of a JSON string.
func inString(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		// Every string can be encoded.
		panic(err)
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1]
}
