// Package hostile has only tests. They send messages and answers that are made to crash, stall or bloat a worker to a real
// one, in a process of its own with the memory of a pod. The worker must stay alive, answer each message once, and
// run honest tasks at the same time. `make hostile` runs all of them; otherwise only the short ones run.
package hostile
