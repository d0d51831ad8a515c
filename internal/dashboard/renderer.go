package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
)

//go:embed templates/*.html
var templateFiles embed.FS

// renderer makes pages of templates.
type renderer struct {
	templates *template.Template
	assets    map[string]asset
	urls      map[string]string // addresses of the assets by their names
}

// newRenderer reads the templates and the files of the pages. An error is a programmer's mistake.
func newRenderer() (*renderer, error) {
	templates, err := template.New("").Funcs(templateFuncs()).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	assets, err := readAssets()
	if err != nil {
		return nil, err
	}
	r := &renderer{templates: templates, assets: assets, urls: map[string]string{}}
	for name, a := range assets {
		r.urls[name] = "/static/" + name + "?v=" + a.sum
	}
	return r, nil
}

// render returns a template with its data as HTML that shows each character.
func (r *renderer) render(name string, data any) ([]byte, error) {
	var html bytes.Buffer
	if err := r.templates.ExecuteTemplate(&html, name+".html", data); err != nil {
		return nil, fmt.Errorf("render page %s: %w", name, err)
	}
	return visible(html.Bytes()), nil
}
