package artifacts_test

import (
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func described(t *testing.T, store artifacts.Store, metadata map[string]artifacts.Metadata, pairs ...string) artifacts.ID {
	t.Helper()
	files, err := artifacts.DescribeFiles(artifacts.Files(texts(pairs...)), metadata)
	require.NoError(t, err)
	p, err := store.Publish(t.Context(), lake, files, &artifacts.PublishOptions{Kind: artifacts.Documents})
	require.NoError(t, err)
	return p.Version.ID
}

func TestDocumentsHaveMetadata(t *testing.T) {
	var store artifacts.InMemory
	meta := artifacts.Metadata{"year": 2026.0, "draft": false, "author": "ada", "tags": []string{"x", "y"}}
	id := described(t, &store, map[string]artifacts.Metadata{"d/a.md": meta, "b.pdf": {}}, "d/a.md", "text", "b.pdf", "pdf", "c.txt", "c", "lonely.metadata.json", "{}")
	var got []artifacts.Document
	for d, err := range artifacts.DocumentsOf(t.Context(), &store, id) {
		require.NoError(t, err)
		got = append(got, d)
	}
	require.Len(t, got, 4)
	for i, want := range []string{"b.pdf", "c.txt", "d/a.md", "lonely.metadata.json"} {
		require.Equal(t, want, got[i].Path)
	}
	require.Equal(t, meta, got[2].Metadata)
	require.Nil(t, got[1].Metadata)
	require.Equal(t, "text/markdown; charset=utf-8", got[2].MediaType)

	// The form that knowledge bases of Bedrock read.
	text, err := fs.ReadFile(artifacts.FS(t.Context(), &store, id), "d/a.md.metadata.json")
	require.NoError(t, err)
	require.JSONEq(t, `{"metadataAttributes":{"year":2026,"draft":false,"author":"ada","tags":["x","y"]}}`, string(text))
}

func TestChangedDocumentsAreWhatAnIndexHasToDo(t *testing.T) {
	var store artifacts.InMemory
	one := described(t, &store, map[string]artifacts.Metadata{"meta": {"k": "1"}, "lost": {"k": "1"}, "gone": {"k": "1"}},
		"same", "1", "text", "1", "meta", "1", "gone", "1", "lost", "1")
	two := described(t, &store, map[string]artifacts.Metadata{"meta": {"k": "2"}, "new": {"k": "n"}},
		"same", "1", "text", "2", "meta", "1", "new", "1", "lost", "1")
	changed := func(from, to artifacts.ID) (list []string, err error) {
		for c, err := range artifacts.ChangedDocuments(t.Context(), &store, from, to) {
			if err != nil {
				return list, err
			}
			what := "describe"
			switch {
			case c.Removed:
				what = "remove"
			case c.Content:
				what = "embed"
			}
			list = append(list, fmt.Sprintf("%s %s %v", what, c.Path, c.Metadata["k"]))
		}
		return list, nil
	}
	list, err := changed(one, two)
	require.NoError(t, err)
	require.Equal(t, []string{"remove gone <nil>", "describe lost <nil>", "describe meta 2", "embed new n", "embed text <nil>"}, list)
	list, err = changed(artifacts.ID{}, two)
	require.NoError(t, err)
	require.Len(t, list, 5)
	list, err = changed(two, two)
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = store.Apply(t.Context(), lake, artifacts.Delete{Version: 1})
	require.NoError(t, err)
	_, err = changed(one, two)
	require.ErrorIs(t, err, artifacts.ErrNotFound, "whoever follows begins again")
}

func TestMetadataThatNobodyCouldFilterByAreRefused(t *testing.T) {
	files := artifacts.Files(texts("a", "1", "b", "1", "b.metadata.json", "{}"))
	for name, m := range map[string]artifacts.Metadata{
		"absent": {}, "b": {}, "a": {"k": 1}, "a ": {}, "../a": {},
	} {
		_, err := artifacts.DescribeFiles(files, map[string]artifacts.Metadata{name: m})
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%s: %v", name, m)
	}
	for _, m := range []artifacts.Metadata{{"": "v"}, {"k": math.NaN()}, {"k": []any{"x"}}, {"k": nil}, {"k\n": "v"}, {"k": strings.Repeat("x", 1<<20)}} {
		_, err := artifacts.DescribeFiles(files, map[string]artifacts.Metadata{"a": m})
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%v", m)
	}
	var store artifacts.InMemory
	for _, text := range []string{`{"metadataAttributes":{"k":{"deep":1}}}`, `{"metadataAttributes":{"k":[1]}}`, `{"metadataAttributes":{"k":null}}`, `no json`} {
		id := published(t, &store, "a", "1", "a.metadata.json", text)
		for _, err := range artifacts.DocumentsOf(t.Context(), &store, id) {
			require.ErrorIs(t, err, artifacts.ErrInvalid, text)
		}
	}
}
