package limits

import (
	"context"
	"time"
)

const (
	countInterval = 30 * time.Second // between two counts of the account's sessions, by any worker
	countTimeout  = 2 * time.Second  // of one count
)

// Sessions are the browser sessions of the account that are open.
type Sessions struct {
	All    int
	Others int // without Capstan's tag
}

// notOf returns how many sessions are of others if tasks are held. Where the API lists no tags, sessions of tasks look like
// those of others.
func (s Sessions) notOf(held int) int {
	if s.Others < s.All {
		return s.Others
	}
	return min(s.Others, max(0, s.All-held))
}

// countSessions counts the account's sessions, unless a worker has done so lately.
func (k *Keeper) countSessions(ctx context.Context, c Cap) {
	now := time.Now()
	if k.Sessions == nil || now.Before(k.countAt) || k.Clock.Now().Sub(c.OthersAt).Abs() < countInterval {
		return
	}
	k.countAt = now.Add(countInterval)
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if all, err := k.Sessions(ctx); err == nil {
		k.others, k.othersAt = all, k.Clock.Now()
	}
}
