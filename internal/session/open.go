package session

import (
	"context"
	"slices"

	"github.com/capstan-worker/capstan/internal/task"
)

// Open counts the sessions of the account that are open, and those among them that Capstan has not created for a task. It asks
// once. A session whose tags the API does not name counts as one of others.
func (s *Sessions) Open(ctx context.Context) (all, others int, err error) {
	var found []task.Session
	err = s.call(ctx, func() (err error) {
		found, err = s.api.FindSessions(ctx)
		return err
	})
	for _, each := range found {
		if each.Ended() {
			continue
		}
		all++
		if !slices.Contains(each.Tags, task.TagOfAll) {
			others++
		}
	}
	return all, others, err
}
