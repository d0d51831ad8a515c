package redact

import "math/bits"

// found says which bytes of a text belong to secrets. Bytes of hits that overlap are joined to one piece. It takes some two
// bytes for each of the text's, and nothing for a text without secrets.
type found struct {
	size    int
	any     bool
	covered bitmap   // the bytes of hits
	joined  bitmap   // those that belong to the same hit as the byte before
	longest []uint16 // the longest secret of a piece, noted at one of its bytes
}

type bitmap []uint64

func (b bitmap) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

// reset makes it ready for a text of so many bytes.
func (f *found) reset(size int) { f.size, f.any = size, false }

// cover adds the stretch to a hit. joined says that the hit has the byte before, too.
func (f *found) cover(from, to int, joined bool) {
	if !f.any {
		f.begin()
	}
	for i := from; i < to; i++ {
		f.covered.set(i)
		if joined || i > from {
			f.joined.set(i)
		}
	}
}

func (f *found) begin() {
	f.any = true
	f.covered, f.joined = cleared(f.covered, f.size/64+1), cleared(f.joined, f.size/64+1)
	f.longest = cleared(f.longest, f.size)
}

// cleared returns n zeros, in the same memory if that is large enough.
func cleared[S ~[]E, E any](s S, n int) S {
	if cap(s) < n {
		return make(S, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// note says which secret a piece holds that has the byte i. The indexes go from the longest secret to the shortest.
func (f *found) note(i int, secret uint16) {
	if old := f.longest[i]; old == 0 || secret < old {
		f.longest[i] = secret
	}
}

// piece returns the first piece that begins at from or later, and the longest of its secrets, or false behind the last.
func (f *found) piece(from int) (begin, end int, secret uint16, ok bool) {
	if !f.any {
		return 0, 0, 0, false
	}
	begin = f.nextCovered(from)
	if begin == f.size {
		return 0, 0, 0, false
	}
	for end = begin; end < f.size && f.covered.has(end) && (end == begin || f.joined.has(end)); end++ {
		if s := f.longest[end]; s != 0 && (secret == 0 || s < secret) {
			secret = s
		}
	}
	return begin, end, secret, true
}

func (f *found) nextCovered(from int) int {
	for word := from >> 6; word < len(f.covered); word++ {
		set := f.covered[word]
		if word == from>>6 {
			set &= ^uint64(0) << (from & 63)
		}
		if set != 0 {
			return word<<6 + bits.TrailingZeros64(set)
		}
	}
	return f.size
}
