package artifacts_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

// full returns a store with some of everything.
func full(t testing.TB) *artifacts.InMemory {
	t.Helper()
	store := &artifacts.InMemory{By: "job-7"}
	publish := func(name artifacts.Name, opts *artifacts.PublishOptions, pairs ...string) {
		files := map[string][]byte{}
		for pair := range slices.Chunk(pairs, 2) {
			files[pair[0]] = []byte(pair[1])
		}
		_, err := store.Publish(t.Context(), name, artifacts.Files(files), opts)
		require.NoError(t, err)
	}
	apply := func(name artifacts.Name, changes ...artifacts.Change) {
		_, err := store.Apply(t.Context(), name, changes...)
		require.NoError(t, err)
	}
	publish(ranker, &artifacts.PublishOptions{
		ID: "run/1", Kind: artifacts.Checkpoint, Owner: "ada", Tags: map[string]string{"k": "v"}, Metrics: map[string]artifacts.Metric{"m": {Value: 1.5, N: 2, Better: artifacts.Lower}},
		Lineage: artifacts.Lineage{Parents: []artifacts.ID{{Name: ranker, Number: 9}}, Inputs: []artifacts.Input{{URI: "s3://x/y"}}, Run: "r", Step: 7},
		With:    []artifacts.Change{artifacts.SetAlias{Alias: "live"}},
	}, "w", "weights", "d/x.json", "{}", "same", "weights")
	publish(ranker, nil, "w", "weights 2", "d/x.json", "{}")
	publish(ranker, nil, "w", "deleted later")
	apply(ranker, artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Pin{Version: 1, By: "me"}, artifacts.Note{Version: 2, Tags: map[string]string{"n": "1"}})
	apply(ranker, artifacts.Rollback{Alias: "live", Reason: "worse", Evidence: []artifacts.Sample{{Metric: "m", Value: 2, N: 1, At: time.Unix(1, 0)}}})
	apply(ranker, artifacts.Delete{Version: 3})
	publish(ranker, &artifacts.PublishOptions{
		ID: "waiting", Ranks: 3, Rank: 0, Owner: "bob", Tags: map[string]string{"p": "q"}, With: []artifacts.Change{artifacts.SetAlias{Alias: "next"}},
	}, "shard-0", "0")
	publish(ranker, &artifacts.PublishOptions{ID: "waiting", Ranks: 3, Rank: 2}, "shard-2", "weights")
	publish(artifacts.Name{Path: "only/waits"}, &artifacts.PublishOptions{ID: "i", Ranks: 2})
	publish(artifacts.Name{Tenant: "other", Path: "ä"}, nil, "a", "")
	return store
}

// seen writes down everything that a store shows.
func seen(t testing.TB, store *artifacts.InMemory) string {
	t.Helper()
	var out strings.Builder
	for _, tenant := range []string{"", "lab", "other"} {
		names := []artifacts.Name{ranker}
		for v, err := range store.List(t.Context(), artifacts.Query{Tenant: tenant}) {
			require.NoError(t, err)
			fmt.Fprintf(&out, "%+v\n", v)
			if !slices.Contains(names, v.ID.Name) {
				names = append(names, v.ID.Name)
			}
			require.NoError(t, fs.WalkDir(artifacts.FS(t.Context(), store, v.ID), ".", func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := fs.ReadFile(artifacts.FS(t.Context(), store, v.ID), path)
				info, _ := d.Info()
				fmt.Fprintf(&out, "%s %q %+v %v\n", path, data, info.Sys(), info.ModTime())
				return err
			}))
		}
		for _, name := range names {
			for r, err := range store.History(t.Context(), name, nil) {
				require.NoError(t, err)
				text, err := r.MarshalJSON()
				require.NoError(t, err)
				fmt.Fprintf(&out, "%s\n", text)
			}
		}
	}
	return out.String()
}

func TestASnapshotRestoresEverything(t *testing.T) {
	store := full(t)
	var first, second bytes.Buffer
	require.NoError(t, store.Snapshot(&first))
	text := first.String()
	back := artifacts.InMemory{By: "job-7"}
	_, err := back.Publish(t.Context(), artifacts.Name{Path: "in the way"}, artifacts.Files(map[string][]byte{"a": nil}), nil)
	require.NoError(t, err)
	require.NoError(t, back.Restore(&first))
	require.Equal(t, seen(t, store), seen(t, &back))
	_, err = back.Resolve(t.Context(), artifacts.Ref{Name: artifacts.Name{Path: "in the way"}})
	require.ErrorIs(t, err, artifacts.ErrNotFound, "what was there before is gone")
	require.NoError(t, back.Snapshot(&second))
	require.Equal(t, text, second.String())

	// It goes on where the other ended.
	for _, s := range []*artifacts.InMemory{store, &back} {
		p, err := s.Publish(t.Context(), ranker, artifacts.Files(nil), &artifacts.PublishOptions{ID: "run/1"})
		require.NoError(t, err)
		require.True(t, p.Again)
		p, err = s.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"shard-1": []byte("weights 2")}), &artifacts.PublishOptions{ID: "waiting", Ranks: 3, Rank: 1})
		require.NoError(t, err)
		require.Equal(t, int64(4), p.Version.ID.Number)
		require.Equal(t, "bob", p.Version.Owner)
		require.Equal(t, []string{"next"}, p.Version.Aliases)
		require.Equal(t, 3, p.Version.Files)
		require.EqualValues(t, 9, p.Reused, "content of version 2")
		_, err = s.Apply(t.Context(), ranker, artifacts.Rollback{Alias: "live", Reason: "worse"})
		require.ErrorIs(t, err, artifacts.ErrConflict, "the way back is used up")
	}
}

func TestAnEmptyStoreHasASnapshot(t *testing.T) {
	var empty artifacts.InMemory
	var text bytes.Buffer
	require.NoError(t, empty.Snapshot(&text))
	store := full(t)
	require.NoError(t, store.Restore(&text))
	require.Empty(t, seen(t, store))
}

// sealed returns lines with the checksum they need.
func sealed(lines string) string {
	return fmt.Sprintf("%s{\"sha256\":\"%x\"}\n", lines, sha256.Sum256([]byte(lines)))
}

func TestADamagedSnapshotIsCorruptAndChangesNothing(t *testing.T) {
	var buf bytes.Buffer
	require.NoError(t, full(t).Snapshot(&buf))
	text := buf.String()
	lines := text[:strings.LastIndex(text[:len(text)-1], "\n")+1]
	require.Equal(t, text, sealed(lines))
	other := full(t)
	before := seen(t, other)
	refuse := func(what, text string) {
		t.Helper()
		require.ErrorIs(t, other.Restore(strings.NewReader(text)), artifacts.ErrCorrupt, what)
	}
	for at := 0; at < len(text); at += 37 {
		refuse(fmt.Sprint("cut at ", at), text[:at])
		refuse(fmt.Sprint("a bit flipped at ", at), text[:at]+string(text[at]^1)+text[at+1:])
	}
	replace := func(from, to string) string {
		t.Helper()
		require.Contains(t, lines, from)
		return sealed(strings.Replace(lines, from, to, 1))
	}
	for what, spoiled := range map[string]string{
		"another schema":       replace("snapshot/v1", "snapshot/v2"),
		"no header":            sealed(lines[strings.Index(lines, "\n")+1:]),
		"an artifact twice":    sealed(lines + lines[strings.LastIndex(lines[:len(lines)-1], "\n")+1:]),
		"an unknown field":     replace(`"Records":`, `"More":1,"Records":`),
		"an edited record":     replace(`"reason":"worse"`, `"reason":"better"`),
		"an edited version":    replace(`"Bytes":16`, `"Bytes":17`),
		"an edited owner":      replace(`"Owner":"ada"`, "\"Owner\":\"a\\u0000\""),
		"another file":         replace(`"Path":"same"`, `"Path":"some"`),
		"a bad path":           replace(`"Path":"same"`, `"Path":"../a"`),
		"another digest":       replace(`"Digest":"sha256t16m:`, `"Digest":"sha256t16m:0`),
		"no blobs":             replace(`"Blobs":{`, `"Blobs":{"x":"",`),
		"ranks that came":      replace(`"Ranks":3`, `"Ranks":2`),
		"a name that is none":  replace(`"Path":"only/waits"`, `"Path":"only//waits"`),
		"two values in a line": sealed(strings.TrimSuffix(lines, "\n") + " {}\n"),
		"garbage":              sealed(lines + "garbage\n"),
		"nothing":              "",
		"no lines":             sealed(""),
	} {
		refuse(what, spoiled)
	}
	boom := errors.New("boom")
	require.ErrorIs(t, other.Restore(io.MultiReader(strings.NewReader(text), iotest.ErrReader(boom))), boom)
	require.Equal(t, before, seen(t, other))
}

func TestASnapshotReportsTheErrorOfItsWriter(t *testing.T) {
	store := full(t)
	boom := errors.New("boom")
	for n := range 4 {
		require.ErrorIs(t, store.Snapshot(&brokenWriter{n, boom}), boom)
	}
}

type brokenWriter struct {
	left int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func FuzzRestore(f *testing.F) {
	var buf bytes.Buffer
	require.NoError(f, full(f).Snapshot(&buf))
	text := buf.String()
	f.Add(text)
	f.Add(sealed("{\"schema\":\"genaistore/artifacts/snapshot/v1\"}\n"))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if i := strings.LastIndex(text, `{"sha256"`); i >= 0 {
			text = sealed(text[:i]) // else no input ever gets past the checksum
		}
		var store artifacts.InMemory
		if err := store.Restore(strings.NewReader(text)); err != nil {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
			return
		}
		before := seen(t, &store)
		var again bytes.Buffer
		require.NoError(t, store.Snapshot(&again))
		require.NoError(t, store.Restore(&again))
		require.Equal(t, before, seen(t, &store))
	})
}
