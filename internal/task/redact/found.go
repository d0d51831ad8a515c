package redact

import "math/bits"

// found records which bytes of a text belong to hits. Overlapping hits form one piece, which gets one mark. It takes about
// two bytes for each byte of the text, and nothing for a text without hits.
type found struct {
	size    int // bytes of the text
	any     bool
	covered bitmap // bytes of hits
	// Bytes that belong to the same hit as the byte before them: two hits may touch without overlapping.
	joined bitmap
	// The longest secret of a piece, recorded at one of the piece's bytes; 0 elsewhere.
	longest []uint16
}

// bitmap is a set of bytes of a text, by their index.
type bitmap []uint64

func (b bitmap) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

// reset prepares for a text of that many bytes. It keeps the memory, and cover clears it if there is a hit.
func (f *found) reset(size int) { f.size, f.any = size, false }

// cover records the bytes of a hit, or of a part of it: joined means that the byte before them belongs to the same hit.
func (f *found) cover(from, to int, joined bool) {
	if !f.any {
		f.any = true
		f.covered, f.joined = zeroed(f.covered, f.size/64+1), zeroed(f.joined, f.size/64+1)
		f.longest = zeroed(f.longest, f.size)
	}
	for i := from; i < to; i++ {
		f.covered.set(i)
		if joined || i > from {
			f.joined.set(i)
		}
	}
}

// zeroed returns a slice of n zeros, and reuses the memory of s if possible.
func zeroed[S ~[]E, E any](s S, n int) S {
	if cap(s) < n {
		return make(S, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// setLongest records a secret of the piece that contains byte i. Longer secrets have lower indexes.
func (f *found) setLongest(i int, secret uint16) {
	if old := f.longest[i]; old == 0 || secret < old {
		f.longest[i] = secret
	}
}

// piece returns the first piece that begins at from or later, and the longest of its secrets. ok is false after the last.
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

// nextCovered returns the first covered byte from there on, or the size of the text.
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
