package control

import "time"

// SetPause sets for how long calls fail at once after one that failed.
func (b *Bucket) SetPause(d time.Duration) { b.pause = d }
