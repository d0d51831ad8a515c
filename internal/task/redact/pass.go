package redact

import (
	"bytes"
	"math"
	"slices"
	"strings"
)

// pass is one reading of a text with some layers of escaping removed.
type pass struct {
	machine *automaton
	found   *found
	// Record hits without an escape of the outermost layer, too. Other passes leave those out, because an
	// earlier one has found them.
	all bool

	state int32
	end   int // where the last unit ended
	units int // how many were read
	// The number of the last unit that the outermost layer unescaped, counted from 1; 0 means none.
	escaped int

	// window holds the units that a hit may still cover: those since the automaton was in state 0, or the last of them.
	window []seen
	bound  int  // maximum length of window
	hit    bool // a hit ends in window

	// produced says, for each of kinds, whether the first byte of its escapes is in what was read.
	produced [len(kinds)]bool
	changed  bool // the outermost layer removed an escape
}

// seen is a unit that was read: how many bytes of the text it added, and the longest secret that ends with it.
type seen struct{ width, secret uint16 }

// smallWindow is the least bound of a window.
const smallWindow = 1 << 10

// readPlain reads a part of the text that contains no escapes.
func (p *pass) readPlain(text []byte, from, to int) {
	p.end = from
	for at := from; at < to; at++ {
		// Skip what no secret begins with: this is where nearly all of a text is read.
		if p.state == 0 {
			for at < to && p.machine.root[fold(text[at])] == 0 {
				at++
			}
			p.units += at - p.end
			p.end = at
			if at == to {
				return
			}
		}
		p.read(unit{b: text[at], from: at, to: at + 1})
	}
}

// read reads the next unit.
func (p *pass) read(u unit) {
	p.units++
	if u.unescaped {
		p.escaped, p.changed = p.units, true
	}
	p.state = p.machine.step(p.state, fold(u.b))
	if p.state == 0 {
		p.flush()
		p.end = u.to
		return
	}
	// A hit without an escape of this layer in it belongs to the pass without the layer.
	secret := p.machine.found[p.state]
	if secret != 0 && !p.all && p.escaped <= p.units-p.machine.length[secret] {
		secret = 0
	}
	// The bytes of one escape have the same stretch. Only the first adds its width.
	begin := p.end
	if len(p.window) == 0 {
		begin = u.from
	}
	p.window = append(p.window, seen{uint16((u.to - begin) & math.MaxUint16), secret})
	p.end = u.to
	p.hit = p.hit || secret != 0
	if len(p.window) >= p.bound {
		p.shrink()
	}
}

// flush records the hits in the window and empties it.
func (p *pass) flush() {
	if p.hit {
		p.record()
	}
	p.window, p.hit = p.window[:0], false
}

// shrink records the hits in the window, and keeps only the units that later hits may cover: those of the prefix of a
// secret that the state stands for.
func (p *pass) shrink() {
	if p.hit {
		p.record()
	}
	depth := p.machine.depth(p.state)
	kept := p.window[len(p.window)-depth:]
	p.bound = max(smallWindow, 2*depth)
	if p.bound > cap(p.window) {
		p.window = make([]seen, 0, p.bound)
	}
	p.window = append(p.window[:0], kept...)
	p.hit = slices.ContainsFunc(p.window, func(s seen) bool { return s.secret != 0 })
}

// record goes backward through the window. need is how many more units the hits seen so far cover.
func (p *pass) record() {
	at, need := p.end, 0
	var longest uint16 // the longest secret of the piece
	for i, s := range slices.Backward(p.window) {
		if s.secret != 0 {
			if need == 0 || s.secret < longest {
				longest = s.secret
			}
			need = max(need, p.machine.length[s.secret])
		}
		from := at - int(s.width)
		if need > 0 {
			if s.width > 0 { // later bytes of one escape add nothing
				p.found.cover(from, at, need > 1)
			}
			need--
			if need == 0 || i == 0 {
				p.found.setLongest(from, longest)
			}
		}
		at = from
	}
}

// run reads the text with these layers of escaping removed. The first of them reads the text itself.
func (p *pass) run(text []byte, layers []layer) {
	if len(layers) == 0 {
		for i := range kinds {
			p.produced[i] = bytes.IndexByte(text, kinds[i]) >= 0
		}
		p.readPlain(text, 0, len(text))
		p.flush()
		return
	}
	outer := &layers[len(layers)-1]
	for {
		// Nearly all of a text has no escapes, and is read without the layers.
		if outer.isIdle() {
			from := layers[0].at
			layers[0].at = plainEnd(text, from)
			p.readPlain(text, from, layers[0].at)
		}
		u, ok := outer.next()
		if !ok {
			p.flush()
			return
		}
		if i := strings.IndexByte(kinds, u.b); i >= 0 {
			p.produced[i] = true
		}
		p.read(u)
	}
}

// plainEnd returns where the next escape of any kind may begin.
func plainEnd(text []byte, from int) int {
	if n := bytes.IndexAny(text[from:], kinds); n >= 0 {
		return from + n
	}
	return len(text)
}
