package trpc_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"trpc.group/trpc-go/trpc-agent-go/artifact"

	"github.com/genaistore/genaistore/adapters/trpc"
	"github.com/genaistore/genaistore/artifacts"
)

var session = artifact.SessionInfo{AppName: "app", UserID: "ada", SessionID: "s"}

func save(t *testing.T, s artifact.Service, in artifact.SessionInfo, file string, art *artifact.Artifact) int {
	t.Helper()
	version, err := s.SaveArtifact(t.Context(), in, file, art)
	require.NoError(t, err)
	return version
}

func TestArtifactsComeBackAsTheyWereSaved(t *testing.T) {
	s := trpc.NewArtifacts(new(artifacts.InMemory), nil)
	all := []*artifact.Artifact{
		{Data: []byte{0, 0xff}, MimeType: "image/png"},
		{Data: []byte("x"), MimeType: "text/plain", Name: "a.txt", URL: "https://example.com/a"},
		{Data: []byte("no type")},
		{Data: []byte{}, MimeType: "text/csv"},
	}
	for i, art := range all {
		require.Equal(t, i, save(t, s, session, "f", art))
	}
	for i, want := range all {
		got, err := s.LoadArtifact(t.Context(), session, "f", &i)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := s.LoadArtifact(t.Context(), session, "f", nil)
	require.NoError(t, err)
	require.Equal(t, all[3], got)
	versions, err := s.ListVersions(t.Context(), session, "f")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 3}, versions)
}

func TestWhatIsNotThereIsWhatTheFrameworkExpects(t *testing.T) {
	s := trpc.NewArtifacts(new(artifacts.InMemory), nil)
	got, err := s.LoadArtifact(t.Context(), session, "f", nil)
	require.NoError(t, err)
	require.Nil(t, got)
	versions, err := s.ListVersions(t.Context(), session, "f")
	require.NoError(t, err)
	require.Equal(t, []int{}, versions)
	keys, err := s.ListArtifactKeys(t.Context(), session)
	require.NoError(t, err)
	require.Equal(t, []string{}, keys)
	require.NoError(t, s.DeleteArtifact(t.Context(), session, "f"))

	save(t, s, session, "f", &artifact.Artifact{Data: []byte("x")})
	_, err = s.LoadArtifact(t.Context(), session, "f", new(7))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.DeleteArtifact(t.Context(), session, "f"))
	got, err = s.LoadArtifact(t.Context(), session, "f", nil)
	require.NoError(t, err)
	require.Nil(t, got)
	require.Equal(t, 1, save(t, s, session, "f", &artifact.Artifact{Data: []byte("y")}), "numbers are not used again")
}

// Each of many that save at once gets a number of its own, and its bytes are there.
func TestNoSaveIsLost(t *testing.T) {
	var store artifacts.InMemory
	got := make([]int, 32)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			version, err := trpc.NewArtifacts(&store, nil).SaveArtifact(t.Context(), session, "f", &artifact.Artifact{Data: fmt.Append(nil, i)})
			if err != nil {
				t.Error(err)
			}
			got[i] = version
		})
	}
	wg.Wait()
	for i, version := range got {
		art, err := trpc.NewArtifacts(&store, nil).LoadArtifact(t.Context(), session, "f", &version)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(art.Data))
	}
	slices.Sort(got)
	for i, version := range got {
		require.Equal(t, i, version)
	}
}

func TestNamesMayBeAnyText(t *testing.T) {
	var store artifacts.InMemory
	s := trpc.NewArtifacts(&store, nil)
	files := []string{"..", "a/b", "s", "u", "user:..", "user:a/b", "日本語"}
	sessions := []string{"s", "u", "user", "a/b", "..", "."}
	for _, id := range sessions {
		for _, file := range files {
			save(t, s, artifact.SessionInfo{AppName: "app", UserID: "ada", SessionID: id}, file, &artifact.Artifact{Data: []byte(id + " " + file)})
		}
	}
	for _, id := range sessions {
		in := artifact.SessionInfo{AppName: "app", UserID: "ada", SessionID: id}
		keys, err := s.ListArtifactKeys(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, files, keys)
		art, err := s.LoadArtifact(t.Context(), in, "a/b", nil)
		require.NoError(t, err)
		require.Equal(t, id+" a/b", string(art.Data))
		art, err = s.LoadArtifact(t.Context(), in, "user:a/b", nil)
		require.NoError(t, err)
		require.Equal(t, ". user:a/b", string(art.Data))
	}
	keys, err := s.ListArtifactKeys(t.Context(), artifact.SessionInfo{AppName: "app", UserID: "eve", SessionID: "s"})
	require.NoError(t, err)
	require.Empty(t, keys)
	gone, err := artifacts.Forget(t.Context(), &store, "", "ada")
	require.NoError(t, err)
	require.Equal(t, 6*5+6*2, gone)
}

func TestBadRequestsAreInvalid(t *testing.T) {
	var store artifacts.InMemory
	s := trpc.NewArtifacts(&store, &trpc.ArtifactOptions{Tenant: "acme", Prefix: "agents/trpc"})
	ctx := t.Context()
	for _, in := range []artifact.SessionInfo{{}, {AppName: "app", SessionID: "s"}, {UserID: "ada", SessionID: "s"}, {AppName: "app", UserID: "ada"}} {
		_, err := s.SaveArtifact(ctx, in, "f", &artifact.Artifact{})
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		_, err = s.LoadArtifact(ctx, in, "f", nil)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		_, err = s.ListArtifactKeys(ctx, in)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		_, err = s.ListVersions(ctx, in, "f")
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		require.ErrorIs(t, s.DeleteArtifact(ctx, in, "f"), artifacts.ErrInvalid)
	}
	_, err := s.SaveArtifact(ctx, session, "", &artifact.Artifact{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = s.SaveArtifact(ctx, session, "f", nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = s.LoadArtifact(ctx, session, "f", new(-1))
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	for range store.List(ctx, artifacts.Query{Tenant: "acme"}) {
		t.Fatal("something was stored")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.SaveArtifact(cancelled, session, "f", &artifact.Artifact{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Publish(ctx, artifacts.Name{Tenant: "acme", Path: "agents/trpc/app/ada/s/s/f"}, artifacts.Files(map[string][]byte{"content": nil, "artifact.json": []byte(`{"trpc":2}`)}), nil)
	require.NoError(t, err)
	_, err = s.LoadArtifact(ctx, session, "f", nil)
	require.ErrorIs(t, err, artifacts.ErrCorrupt)
}
