package anchortest

import "net/http"

// await returns the answer to a submission that is not asynchronous: the result, in the form of the example in the API's
// document, or, if the workflow failed, 500 with its error. answer is the one to an asynchronous submission, whose headers
// it keeps. If the client goes away or the server closes, the workflow runs on and there is no answer.
func (s *Server) await(r *http.Request, wf *workflow, answer, fault Fault) Fault {
	select {
	case <-wf.done:
	case <-r.Context().Done():
		return Reset()
	case <-s.closing():
		return Reset()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	callOf(r).note("workflow %s, %s", wf.id, wf.foreseen())
	documented := refusal(http.StatusInternalServerError, wf.err)
	if wf.state == "COMPLETED" {
		documented = success(map[string]any{"result": map[string]any{"result": wf.result}})
	}
	documented = fault.onto(documented)
	documented.Header = answer.Header
	return documented
}
