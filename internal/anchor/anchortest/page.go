package anchortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/PuerkitoBio/goquery"
)

const (
	// pageTimeout bounds the time for one page.
	pageTimeout = 10 * time.Second

	// maxPage is the number of bytes that are read of a page. The rest is ignored.
	maxPage = 5 << 20

	// maxLinks is the number of links that are returned, the first ones of the page.
	maxLinks = 50
)

// page is what PageReader finds on a page. Parts that the page does not have are empty.
type page struct {
	title     string
	heading   string // the first h1
	paragraph string // the first p that is not empty
	links     []link
}

// link is a link of a page, as it appears in the result of a task.
type link struct {
	Text string `json:"text"`
	URL  string `json:"url"` // absolute
}

// PageReader is an Agent that fetches the task's url and returns what it finds there: title, main heading, first
// paragraph and links. If the prompt mentions some of them, it returns only those. If there is an output_schema, it
// returns the properties of the schema whose names it knows. It runs no scripts and has no AI. If the page cannot be
// read, it returns an error.
func PageReader(ctx context.Context, t Task) (any, error) {
	if t.URL == "" {
		return nil, errors.New("the task has no url")
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	p, err := readPage(ctx, t.URL)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", t.URL, err)
	}
	if properties := schemaProperties(t.OutputSchema); len(properties) > 0 {
		return p.fill(properties), nil
	}
	return p.mentionedIn(t.Prompt), nil
}

// readPage fetches and parses a page. It follows redirects, and returns an error for any status but 200.
func readPage(ctx context.Context, address string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Accept", "text/html")
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		return page{}, urlErr.Err // without the address, which the caller adds
	}
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("the site answered %s", resp.Status)
	}
	document, err := goquery.NewDocumentFromReader(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return page{}, err
	}
	return parsePage(document, resp.Request.URL), nil
}

// parsePage collects the parts of a document. base is its address, for relative links. Links with another
// scheme than http and https are left out.
func parsePage(document *goquery.Document, base *url.URL) page {
	p := page{
		title:   text(document.Find("title").First()),
		heading: text(document.Find("h1").First()),
		links:   []link{},
	}
	for _, s := range document.Find("p").EachIter() {
		if p.paragraph = text(s); p.paragraph != "" {
			break
		}
	}
	for _, s := range document.Find("a[href]").EachIter() {
		href, err := base.Parse(s.AttrOr("href", ""))
		if err == nil && strings.HasPrefix(href.Scheme, "http") && len(p.links) < maxLinks {
			p.links = append(p.links, link{Text: text(s), URL: href.String()})
		}
	}
	return p
}

// text returns the text of an element as a browser shows it: with single spaces.
func text(s *goquery.Selection) string { return strings.Join(strings.Fields(s.Text()), " ") }
