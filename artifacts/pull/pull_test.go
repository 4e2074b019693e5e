package pull_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/pull"
)

var name = artifacts.Name{Tenant: "acme", Path: "llm/ranker"}

// A served version has its files on a server.
type served struct {
	files  map[string][]byte
	list   []byte
	id     artifacts.ID
	url    string
	refuse atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func (s *served) fault(f func(w http.ResponseWriter, r *http.Request) bool) { s.refuse.Store(&f) }

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{files: map[string][]byte{"a.json": []byte("{}"), "d/large": bytes.Repeat([]byte("leaf"), artifacts.LeafSize/4*2+5), "empty": nil}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.refuse.Load(); f != nil && (*f)(w, r) {
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.files[strings.TrimPrefix(r.URL.Path, "/")]))
	}))
	t.Cleanup(server.Close)
	var store artifacts.InMemory
	p, err := store.Publish(t.Context(), name, artifacts.Files(s.files), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
	require.NoError(t, err)
	infos, err := artifacts.Manifest(t.Context(), &store, p.Version.ID)
	require.NoError(t, err)
	var list bytes.Buffer
	require.NoError(t, pull.Write(&list, p.Version, time.Now().Add(time.Hour), s.entries(infos, server.URL)))
	s.list, s.id, s.url = list.Bytes(), p.Version.ID, server.URL
	return s
}

func (s *served) entries(infos []artifacts.FileInfo, url string) iter.Seq2[pull.File, error] {
	return func(yield func(pull.File, error) bool) {
		for _, f := range infos {
			d := artifacts.NewDigest()
			_, _ = d.Write(s.files[f.Path])
			one := pull.File{Path: f.Path, Size: f.Size, Digest: f.Digest, MediaType: f.MediaType, URL: url + "/" + f.Path}
			if leaves := d.Leaves(); len(leaves) > 1 {
				for _, leaf := range leaves {
					one.Leaves = append(one.Leaves, leaf[:]...)
				}
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

func (s *served) open(t *testing.T) *pull.Store {
	t.Helper()
	store, err := pull.Open(bytes.NewReader(s.list), nil)
	require.NoError(t, err)
	return store
}

func TestAListIsAStoreOfOneVersion(t *testing.T) {
	s := serve(t)
	store := s.open(t)
	ctx := t.Context()
	for path, want := range s.files {
		got, err := fs.ReadFile(artifacts.FS(ctx, store, s.id), path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), path)
	}
	f, err := store.Open(ctx, s.id, "d/large")
	require.NoError(t, err)
	part := make([]byte, 100)
	_, err = f.ReadAt(part, artifacts.LeafSize-50)
	require.NoError(t, err)
	require.Equal(t, s.files["d/large"][artifacts.LeafSize-50:artifacts.LeafSize+50], part)
	require.Empty(t, f.Info().URI, "a URL is a secret")
	require.NoError(t, f.Close())

	for _, ref := range []artifacts.Ref{{Name: name}, {Name: name, Number: 1}, {Name: name, Alias: "live"}, {Name: name, Digest: store.Version().Digest}} {
		v, err := store.Resolve(ctx, ref)
		require.NoError(t, err)
		require.Equal(t, s.id, v.ID)
	}
	for _, ref := range []artifacts.Ref{{Name: artifacts.Name{Path: "other"}}, {Name: name, Number: 2}, {Name: name, Alias: "dead"}} {
		_, err := store.Resolve(ctx, ref)
		require.ErrorIs(t, err, artifacts.ErrNotFound)
	}
	n := 0
	for _, err := range store.List(ctx, artifacts.Query{Tenant: "acme", Prefix: "llm"}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 1, n)
	for range store.List(ctx, artifacts.Query{Tenant: "acme", Kind: "other"}) {
		t.Fatal("it is no such kind")
	}
	_, err = store.Open(ctx, artifacts.ID{Name: name, Number: 2}, "a.json")
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	_, err = store.Open(ctx, s.id, "absent")
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	_, err = store.Publish(ctx, name, artifacts.Files(nil), nil)
	require.ErrorIs(t, err, artifacts.ErrDenied)
	_, err = store.Apply(ctx, name, artifacts.Delete{})
	require.ErrorIs(t, err, artifacts.ErrDenied)
	for _, err := range store.History(ctx, name, nil) {
		require.ErrorIs(t, err, artifacts.ErrDenied)
	}
}

func TestAListThatWasChangedIsRefused(t *testing.T) {
	s := serve(t)
	lines := bytes.SplitAfter(bytes.TrimSuffix(s.list, []byte("\n")), []byte("\n"))
	refused := func(want error, list []byte, what string) {
		t.Helper()
		_, err := pull.Open(bytes.NewReader(list), nil)
		require.ErrorIs(t, err, want, what)
	}
	refused(artifacts.ErrCorrupt, nil, "empty")
	refused(artifacts.ErrCorrupt, []byte("{}x"), "no list")
	refused(artifacts.ErrCorrupt, bytes.Join(lines[:3], nil), "cut off between lines")
	refused(artifacts.ErrCorrupt, s.list[:len(s.list)-20], "cut off in a line")
	for from, to := range map[string]string{
		`"path":"a.json"`: `"path":"b.json"`, `"size":2,`: `"size":3,`, `"mediaType":"application/json"`: `"mediaType":"text/html"`,
		`"leaves":"`: `"leaves":"AAAA`, `"url":"http://`: `"url":"file://`, `"path":"d/large"`: `"path":"../large"`, `"Number":1`: `"Number":0`,
	} {
		require.Contains(t, string(s.list), from)
		refused(artifacts.ErrCorrupt, bytes.Replace(s.list, []byte(from), []byte(to), 1), to)
	}
	forged := bytes.Clone(s.list) // leaves of other bytes, as many
	at := bytes.Index(forged, []byte(`"leaves":"`)) + len(`"leaves":"`)
	forged[at] = map[bool]byte{true: 'B', false: 'A'}[forged[at] == 'A']
	refused(artifacts.ErrCorrupt, forged, "other leaves")
	refused(artifacts.ErrInvalid, bytes.Replace(s.list, []byte("pull/v1"), []byte("pull/v2"), 1), "newer")
	failed := errors.New("the list is out of paper")
	err := pull.Write(io.Discard, artifacts.Version{}, time.Now(), func(yield func(pull.File, error) bool) { yield(pull.File{}, failed) })
	require.ErrorIs(t, err, failed)
}

func TestWhatAServerAnswersIsVerified(t *testing.T) {
	read := func(ctx context.Context, s *served, path string) error {
		_, err := fs.ReadFile(artifacts.FS(ctx, s.open(t), s.id), path)
		return err
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	s := serve(t)
	for code, want := range map[int]error{403: artifacts.ErrDenied, 404: artifacts.ErrNotFound, 400: artifacts.ErrDenied, 503: artifacts.ErrThrottled, 302: artifacts.ErrInvalid} {
		s.fault(status(code))
		err := read(t.Context(), s, "a.json")
		require.ErrorIs(t, err, want, "%d", code)
	}
	s.fault(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "[]"); return true })
	require.ErrorIs(t, read(t.Context(), s, "a.json"), artifacts.ErrCorrupt)
	s.fault(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	require.ErrorIs(t, read(t.Context(), s, "d/large"), artifacts.ErrInvalid, "ranges are ignored")
	s.fault(func(w http.ResponseWriter, r *http.Request) bool {
		data := bytes.Clone(s.files["d/large"])
		data[len(data)-1]++
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return true
	})
	require.ErrorIs(t, read(t.Context(), s, "d/large"), artifacts.ErrCorrupt)

	// What may go better is tried again, and ends with the context.
	var n atomic.Int64
	s.fault(func(w http.ResponseWriter, _ *http.Request) bool {
		if n.Add(1) > 2 {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	require.NoError(t, read(t.Context(), s, "a.json"))
	require.Equal(t, int64(3), n.Load())
	s.fault(status(500))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, read(ctx, s, "a.json"), context.DeadlineExceeded)
	s.list = bytes.ReplaceAll(s.list, []byte(s.url), []byte("http://127.0.0.1:1"))
	err := read(t.Context(), s, "a.json")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "a.json\": dial", "a URL is a secret")
}
