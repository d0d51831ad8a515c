// Package hostile has only tests: they send messages and answers that want to crash, stall or bloat a worker to the
// real one, in a process of its own with the memory of a pod. The worker has to stay alive, to answer each message
// once, and to go on with the honest tasks beside them. `make hostile` runs all of them; without it only the
// short ones are run.
package hostile
