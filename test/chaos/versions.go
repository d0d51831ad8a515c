package main

import "context"

// versions are workers of two versions side by side.
func versions() []scenario {
	return []scenario{
		{name: "versions", about: "workers of two versions on one queue, killed and drained in turns", older: true, run: versionsTogether},
	}
}

func versionsTogether(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 4); err != nil {
		return err
	}
	for round := range 8 {
		if err := w.ask(ctx, w.mixed(w.tasks/8)...); err != nil {
			return err
		}
		oldest := w.living()[0]
		if _, err := w.startWorker(ctx); err != nil { // of the other version than the one before
			return err
		}
		end := oldest.drain
		if round%4 >= 2 { // the versions take turns, so each is drained and killed
			end = func(context.Context) error { return oldest.Kill() }
		}
		if err := end(ctx); err != nil {
			return err
		}
	}
	return nil
}
