package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// odd are tasks whose calls get answers that the API itself does not give, or that are not quite right. None of them
// ends a task.
func odd() []kind {
	return []kind{
		{1, func(r *rand.Rand) recipe { return refusedFor(r, "page", gatewayPage(r)) }},
		{2, func(r *rand.Rand) recipe {
			return refusedFor(r, "waits", anchortest.RetryAfter(http.StatusServiceUnavailable, oddWait(r)))
		}},
		{1, func(r *rand.Rand) recipe {
			return refusedFor(r, "proxy", anchortest.HTML(http.StatusProxyAuthRequired))
		}},
		{3, func(r *rand.Rand) recipe {
			young := plain(shortly(r))
			young.kind, young.plan.Poll = "young", []anchortest.Fault{anchortest.NotYet().During(3 * time.Second)}
			return young
		}},
		{3, func(r *rand.Rand) recipe {
			marked := plain(shortly(r))
			marked.kind = "marked"
			marked.plan.Poll = []anchortest.Fault{gatewayPage(r).Repeated(7), anchortest.BOM().Repeated(-1)}
			return marked
		}},
		{2, func(r *rand.Rand) recipe {
			return answered("bytes", shortly(r), foreignBytesName, "{\"city\":\"Z\ufffdrich\"}")
		}},
		{1, func(r *rand.Rand) recipe {
			huge := plain(0)
			huge.kind, huge.want.Result = "huge", nil
			huge.plan = anchortest.Plan{Poll: []anchortest.Fault{
				anchortest.State("RUNNING").During(shortly(r)), {Size: 4 << 20, Chunked: r.IntN(2) == 0, Times: -1},
			}}
			return huge
		}},
	}
}

// refusedFor is a task whose first POST is turned away.
func refusedFor(r *rand.Rand, kind string, f anchortest.Fault) recipe {
	refused := plain(shortly(r))
	refused.kind, refused.plan.Submit = kind, []anchortest.Fault{f}
	return refused
}

// gatewayPage is an answer of a gateway that cannot reach the API, or does not know it.
func gatewayPage(r *rand.Rand) anchortest.Fault {
	return pick(r, anchortest.NoBackend(), anchortest.HTML(http.StatusNotFound), anchortest.HTML(http.StatusBadRequest),
		anchortest.Text(http.StatusForbidden, "blocked"))
}

// oddWait is a Retry-After of about a second that RFC 9110 does not allow, though its meaning is clear.
func oddWait(r *rand.Rand) string {
	at := time.Now().Add(2 * time.Second).UTC()
	return pick(r, "1.5", "1, 1", at.Format("Mon, 02 Jan 2006 15:04:05 UTC"), "-1")
}
