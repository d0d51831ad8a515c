package redact

import (
	"bytes"
	"math"
	"slices"
)

// pass is one reading of a text with some layers of escaping taken off.
type pass struct {
	machine *automaton
	found   *found
	all     bool // take hits without an escape of the outermost layer, too: no other pass finds them

	state   int32
	end     int // where the last unit ended
	units   int // how many were read
	escaped int // the last unit that the outermost layer unescaped, counted from 1

	// window holds the units since the automaton was in state 0 the last time, or the last ones of these: those that a hit
	// may still cover.
	window []seen
	bound  int  // of its length
	hit    bool // a hit ends in it

	// produced says which kinds of escaping may be left in what was read.
	produced [len(kinds)]bool
	changed  bool // an escape was taken off by the outermost layer
}

// seen is a unit that was read: how many bytes of the text it added, and the longest secret that ends with it.
type seen struct{ width, secret uint16 }

// smallWindow is the least bound of a window.
const smallWindow = 1 << 10

// plain reads the text as it is from one place to another.
func (p *pass) plain(text []byte, from, to int) {
	p.end = from
	for at := from; at < to; at++ {
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

// read takes the next unit.
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
	secret := p.machine.found[p.state]
	if secret != 0 && !p.all && p.escaped <= p.units-p.machine.length[secret] {
		secret = 0
	}
	begin := p.end
	if len(p.window) == 0 {
		begin = u.from
	}
	p.window = append(p.window, seen{uint16((u.to - begin) & math.MaxUint16), secret})
	p.end = u.to
	p.hit = p.hit || secret != 0
	if len(p.window) >= p.bound {
		p.shorten()
	}
}

// flush notes the hits of the window and empties it.
func (p *pass) flush() {
	if p.hit {
		p.sweep()
	}
	p.window, p.hit = p.window[:0], false
}

// shorten notes the hits of the window and keeps only the units that later hits may cover: those of the beginning that the
// state stands for.
func (p *pass) shorten() {
	if p.hit {
		p.sweep()
	}
	depth := p.machine.depth(p.state)
	kept := p.window[len(p.window)-depth:]
	p.bound = max(smallWindow, 2*depth)
	if p.bound > cap(p.window) {
		p.window = make([]seen, 0, p.bound)
	}
	p.window = append(p.window[:0], kept...)
	p.hit = false
	for _, s := range p.window {
		p.hit = p.hit || s.secret != 0
	}
}

// sweep goes through the window backward, where a hit of n units is no more than a counter that begins with n.
func (p *pass) sweep() {
	at, need := p.end, 0
	var secret uint16 // the longest of the piece
	for i, s := range slices.Backward(p.window) {
		if s.secret != 0 {
			if need == 0 || s.secret < secret {
				secret = s.secret
			}
			need = max(need, p.machine.length[s.secret])
		}
		from := at - int(s.width)
		if need > 0 {
			if s.width > 0 {
				p.found.cover(from, at, need > 1)
			}
			need--
			if need == 0 || i == 0 {
				p.found.note(from, secret)
			}
		}
		at = from
	}
}

// run reads the text with these layers of escaping taken off, the first of which is the innermost of the text's.
func (p *pass) run(text []byte, layers []layer) {
	if len(layers) == 0 {
		for i := range kinds {
			p.produced[i] = bytes.IndexByte(text, kinds[i]) >= 0
		}
		p.plain(text, 0, len(text))
		p.flush()
		return
	}
	outer := &layers[len(layers)-1]
	for {
		if outer.idle() {
			from := layers[0].at
			layers[0].at = from + plainRun(text[from:])
			p.plain(text, from, layers[0].at)
		}
		u, ok := outer.next()
		if !ok {
			p.flush()
			return
		}
		switch u.b {
		case inJSON:
			p.produced[0] = true
		case inURL:
			p.produced[1] = true
		case inHTML:
			p.produced[2] = true
		}
		p.read(u)
	}
}

// plainRun returns how many bytes of the text come before one that may begin an escape.
func plainRun(text []byte) int {
	for i, b := range text {
		if b == inJSON || b == inURL || b == inHTML {
			return i
		}
	}
	return len(text)
}
