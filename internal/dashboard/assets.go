package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"time"
)

// The files are those of the pages, and htmx with its license: https://htmx.org, the file dist/htmx.min.js of its npm
// package.
//
//go:embed static/*
var staticFiles embed.FS

// asset is a file that pages use.
type asset struct {
	name string
	data []byte
	sum  string // part of its address, so that browsers keep it for good
}

// readAssets returns the files by their names.
func readAssets() (map[string]asset, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("read the files of the pages: %w", err)
	}
	all := map[string]asset{}
	for _, e := range entries {
		data, err := staticFiles.ReadFile(path.Join("static", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the files of the pages: %w", err)
		}
		sum := sha256.Sum256(data)
		all[e.Name()] = asset{name: e.Name(), data: data, sum: hex.EncodeToString(sum[:6])}
	}
	return all, nil
}

// serveAsset answers with a file.
func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pages.assets[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	if r.URL.Query().Get("v") == a.sum {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.data))
}
