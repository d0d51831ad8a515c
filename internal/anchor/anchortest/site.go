package anchortest

import (
	"io"
	"net/http"
)

// SampleSite is a small web site for PageReader: "/" has a heading, a paragraph and links to "/knots" and "/harbour". Any
// other path is 404.
func SampleSite() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serve(samplePage("The Capstan Inn", `
    <h1>Welcome aboard</h1>
    <p>The Capstan Inn has looked over the harbour since the days of sail, and still keeps a lamp in the window.</p>
    <p>Rooms are simple, breakfast is early, and the tide table hangs by the door.</p>
    <ul>
      <li><a href="/knots">Three knots worth knowing</a></li>
      <li><a href="/harbour">The harbour today</a></li>
    </ul>`)))
	mux.HandleFunc("GET /knots", serve(samplePage("Three knots worth knowing", `
    <h1>Three knots worth knowing</h1>
    <p>A bowline for the loop that must not slip, a clove hitch for the post, a reef knot for the sail.</p>
    <p><a href="/">Back to the inn</a></p>`)))
	mux.HandleFunc("GET /harbour", serve(samplePage("The harbour today", `
    <h1>The harbour today</h1>
    <p>Two trawlers are in, one schooner is expected, and the wind is from the west.</p>
    <table><tr><th>Berth</th><th>Ship</th></tr><tr><td>1</td><td>Marigold</td></tr><tr><td>2</td><td>Perseverance</td></tr></table>
    <p><a href="/">Back to the inn</a></p>`)))
	return mux
}

// serve returns a handler that answers each request with the same page.
func serve(page string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	}
}

// samplePage is a complete page around a body of HTML, which is not escaped.
func samplePage(title, body string) string {
	return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>` + title + `</title>
  </head>
  <body>` + body + `
  </body>
</html>
`
}
