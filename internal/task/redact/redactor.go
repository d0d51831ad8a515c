package redact

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Redactor takes secrets out of texts. It is for one goroutine at a time.
type Redactor struct {
	*tables

	found  found
	window []seen
	layers []layer // of escaping; allocated for the first text that has any
}

// tables are what a search for secrets needs of them. They take about ten bytes for each byte of a secret, and many
// redactors may share them.
type tables struct {
	machine *automaton // nil without secrets
	marks   []string   // by the secret's index; the first is for names that are no secret's
	quoted  []string   // the same as they stand in a JSON string
	numbers map[string]uint16
}

// maxLayers is how many layers of escaping are taken off at once.
const maxLayers = 3

// maxName is how many bytes of a secret's name a mark shows.
const maxName = 64

// Redactor returns a redactor for the secrets. Of more than 65,535 secrets it takes out the longest. Unless the secrets are
// Prepared, it builds its tables first.
func (s Secrets) Redactor() *Redactor {
	if s.tables != nil {
		return &Redactor{tables: s.tables}
	}
	return newRedactor(s.all[:min(len(s.all), maxSecrets)])
}

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
		if isNumber(secret.Value[0]) {
			r.numbers[secret.Value] = index
		}
		mark := r.Mark(secret.Name)
		r.marks, r.quoted = append(r.marks, mark), append(r.quoted, inString(mark))
	}
	return r
}

// Mark returns what stands in the place of the secret with this name: "[redacted:NAME]". Without a name, or where the name shows
// a secret itself, it is "[redacted]".
func (r *Redactor) Mark(name string) string {
	if name == "" || r.search([]byte(name), false) {
		return Bare
	}
	return "[redacted:" + cut(name) + "]"
}

func cut(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := maxName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}

// Text returns the text with marks in the place of secrets. Hits that overlap have one mark, that of the longest secret, and so
// have hits of one secret that touch. Where marks would make a text more than twice as
// long, and large, each is "*": no text gets more than 16 KiB longer than twice its length.
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

// JSON returns a JSON value with marks in the strings and member names that hold secrets, as Text has them. A number whose
// literal is a secret becomes a string. All other bytes stay. Where nothing is found, it returns raw itself.
func (r *Redactor) JSON(raw []byte) []byte {
	if r.machine == nil {
		return raw
	}
	return r.Compose(len(raw), func(b *Builder) { b.JSON(raw) })
}

// Compose returns what write writes for something of size bytes. If marks make it more than twice as long, and large, write is
// called again with a Builder whose marks are short.
func (r *Redactor) Compose(size int, write func(*Builder)) []byte {
	b := &Builder{redactor: r, size: size}
	write(b)
	if b.over {
		b.bytes, b.short, b.over = b.bytes[:0], true, false
		write(b)
	}
	return b.bytes
}

// Finds reports whether a secret stands in the text, in any form.
func (r *Redactor) Finds(text []byte) bool { return r.search(text, false) }

// search looks for secrets in a text, or in what stands between the quotes of a JSON string. It reports whether there are any,
// and keeps them in r.found.
func (r *Redactor) search(text []byte, quoted bool) bool {
	r.found.reset(len(text))
	if r.machine == nil {
		return false
	}
	var base []byte
	if quoted && bytes.IndexByte(text, inJSON) >= 0 {
		base = []byte{inJSON}
	}
	raw := r.pass(text, true, base)
	for i := range kinds {
		if !raw.produced[i] {
			continue
		}
		outer := r.pass(text, false, base, kinds[i])
		for k := range kinds {
			if outer.changed && outer.produced[k] {
				r.pass(text, false, base, kinds[i], kinds[k])
			}
		}
	}
	return r.found.any
}

// pass reads the text with these layers of escaping taken off, those of base first. all is whether this is the first pass.
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
	p := pass{machine: r.machine, found: &r.found, window: r.window[:0], bound: smallWindow, all: all}
	p.run(text, r.layers[:n])
	r.window = p.window[:0]
	return p
}

// inString returns the text as it stands between the quotes of a JSON string.
func inString(text string) string {
	plain := func(r rune) bool { return r >= ' ' && r <= '~' && r != '"' && r != '\\' }
	if !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(err) // every string can be encoded
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1]
}
