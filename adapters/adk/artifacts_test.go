package adk_test

import (
	"context"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/adk/v2/artifact"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/adapters/adk"
	"github.com/genaistore/genaistore/artifacts"
)

func save(t *testing.T, s artifact.Service, session, file string, part *genai.Part) int64 {
	t.Helper()
	resp, err := s.Save(t.Context(), &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: session, FileName: file, Part: part})
	require.NoError(t, err)
	return resp.Version
}

func load(t *testing.T, s artifact.Service, session, file string, version int64) *genai.Part {
	t.Helper()
	resp, err := s.Load(t.Context(), &artifact.LoadRequest{AppName: "app", UserID: "ada", SessionID: session, FileName: file, Version: version})
	require.NoError(t, err)
	return resp.Part
}

func listed(t *testing.T, s artifact.Service, session string) []string {
	t.Helper()
	resp, err := s.List(t.Context(), &artifact.ListRequest{AppName: "app", UserID: "ada", SessionID: session})
	require.NoError(t, err)
	return resp.FileNames
}

func TestPartsComeBackAsTheyWereSaved(t *testing.T) {
	s := adk.NewArtifacts(new(artifacts.InMemory), nil)
	parts := []*genai.Part{
		genai.NewPartFromText("text"),
		genai.NewPartFromBytes([]byte{0, 0xff}, "image/png"),
		{InlineData: &genai.Blob{Data: []byte("no type")}},
		{InlineData: &genai.Blob{Data: []byte("no type"), DisplayName: "a"}, Thought: true},
		{InlineData: &genai.Blob{Data: []byte{}, MIMEType: "text/csv"}},
		{InlineData: &genai.Blob{Data: []byte("named"), MIMEType: "text/csv", DisplayName: "a.csv"}},
		{InlineData: &genai.Blob{Data: []byte("both"), MIMEType: "text/plain"}, Text: "a caption"},
		{Text: "thought", Thought: true, ThoughtSignature: []byte{1}},
	}
	for depth := 3; depth < 6; depth++ {
		var part genai.Part
		fill(reflect.ValueOf(&part).Elem(), depth) // fields that the kit gets one day are saved too
		parts = append(parts, &part)
	}
	for i, part := range parts {
		before := *part
		require.Equal(t, int64(i+1), save(t, s, "s", "file", part))
		require.Equal(t, before, *part, "the caller's part has changed")
	}
	for i, part := range parts {
		require.Empty(t, cmp.Diff(part, load(t, s, "s", "file", int64(i+1))), "version %d", i+1)
	}
	require.Empty(t, cmp.Diff(parts[len(parts)-1], load(t, s, "s", "file", 0)))
}

// Each of many that save at once gets a number of its own, and its bytes are there.
func TestNoSaveIsLost(t *testing.T) {
	var store artifacts.InMemory
	const writers = 32
	got := make([]int64, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			s := adk.NewArtifacts(&store, nil) // a process of its own
			resp, err := s.Save(t.Context(), &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: genai.NewPartFromText(fmt.Sprint("by ", i))})
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = resp.Version
		})
	}
	wg.Wait()
	s := adk.NewArtifacts(&store, nil)
	for i, version := range got {
		require.Equal(t, fmt.Sprint("by ", i), load(t, s, "s", "f", version).Text)
	}
	slices.Sort(got)
	for i, version := range got {
		require.Equal(t, int64(i+1), version)
	}
}

func TestNumbersAreNotUsedAgain(t *testing.T) {
	s := adk.NewArtifacts(new(artifacts.InMemory), nil)
	for range 2 {
		save(t, s, "s", "f", genai.NewPartFromText("x"))
	}
	req := &artifact.DeleteRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Version: 2}
	for range 2 {
		require.NoError(t, s.Delete(t.Context(), req))
	}
	require.Equal(t, int64(3), save(t, s, "s", "f", genai.NewPartFromText("y")), "somebody may still speak of version 2")
	req.Version = 0
	require.NoError(t, s.Delete(t.Context(), req))
	require.Equal(t, int64(4), save(t, s, "s", "f", genai.NewPartFromText("z")))
	resp, err := s.Versions(t.Context(), &artifact.VersionsRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f"})
	require.NoError(t, err)
	require.Equal(t, []int64{4}, resp.Versions)

	_, err = s.Save(t.Context(), &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: genai.NewPartFromText("x"), Version: 4})
	require.ErrorIs(t, err, artifacts.ErrConflict, "a version is never replaced")
	made, err := s.Save(t.Context(), &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: genai.NewPartFromText("x"), Version: 5})
	require.NoError(t, err)
	require.Equal(t, int64(5), made.Version)
}

// No name can be taken for another, or for what lies between names in the store.
func TestNamesMayBeAnyText(t *testing.T) {
	var store artifacts.InMemory
	s := adk.NewArtifacts(&store, nil)
	names := []string{"u", "s", "user", ".", "..", "...", "%", "%2F", "a b", "ünï.txt", "a%2Fb", "bad\xffutf8", "new\nline", "c\u0085", "user:x", "user:..", "@", "=", "日本語"}
	for _, session := range append(names, "a/b", "a/b/", "/") {
		for _, file := range names {
			save(t, s, session, file, genai.NewPartFromText(session+" "+file))
		}
	}
	sorted := slices.Sorted(slices.Values(names))
	for _, session := range append(names, "a/b", "a/b/", "/") {
		require.Equal(t, sorted, listed(t, s, session), "session %q", session)
		for _, file := range names {
			if !strings.HasPrefix(file, "user:") {
				require.Equal(t, session+" "+file, load(t, s, session, file, 0).Text)
			}
		}
	}
	require.Equal(t, []string{"user:..", "user:x"}, listed(t, s, "another"))
	require.Equal(t, "/ user:x", load(t, s, "another", "user:x", 0).Text, "saved in the last session")

	for _, req := range []*artifact.ListRequest{{AppName: "app", UserID: "eve", SessionID: "u"}, {AppName: "app2", UserID: "ada", SessionID: "u"}, {AppName: "app", UserID: "ada/s", SessionID: "u"}} {
		resp, err := s.List(t.Context(), req)
		require.NoError(t, err)
		require.Empty(t, resp.FileNames)
	}
	for _, opts := range []*adk.ArtifactOptions{{Tenant: "other"}, {Prefix: "elsewhere/adk"}} {
		require.Empty(t, listed(t, adk.NewArtifacts(&store, opts), "u"))
	}
	_, err := s.Save(t.Context(), &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: strings.Repeat("f", 200), Part: genai.NewPartFromText("x")})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	s := adk.NewArtifacts(new(artifacts.InMemory), nil)
	save(t, s, "s", "f", genai.NewPartFromText("x"))
	for _, version := range []int64{2, 1 << 40} {
		_, err := s.Load(t.Context(), &artifact.LoadRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Version: version})
		require.ErrorIs(t, err, artifacts.ErrNotFound)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "artifact not found: file does not exist", "the kit's own text")
		_, err = s.GetArtifactVersion(t.Context(), &artifact.GetArtifactVersionRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Version: version})
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	_, err := s.Versions(t.Context(), &artifact.VersionsRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "user:f"})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Delete(t.Context(), &artifact.DeleteRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "absent", Version: 7}))
}

func TestBadRequestsAreInvalidAndChangeNothing(t *testing.T) {
	var store artifacts.InMemory
	s := adk.NewArtifacts(&store, nil)
	ctx, part := t.Context(), genai.NewPartFromText("x")
	for _, req := range []artifact.SaveRequest{
		{},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f"},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: &genai.Part{}},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "a/b", Part: part},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: `a\b`, Part: part},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: part, Version: -1},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: genai.NewPartFromBytes(nil, "text/plain\nX: y")},
		{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: &genai.Part{Text: "x", PartMetadata: map[string]any{"f": func() {}}}},
	} {
		_, err := s.Save(ctx, &req)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%+v", req)
	}
	_, err := s.Load(ctx, &artifact.LoadRequest{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	require.ErrorContains(t, err, "request validation failed: invalid load request: ", "the kit's own text")
	_, err = s.Load(ctx, &artifact.LoadRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Version: -1})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	require.ErrorIs(t, s.Delete(ctx, &artifact.DeleteRequest{}), artifacts.ErrInvalid)
	_, err = s.List(ctx, &artifact.ListRequest{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = s.Versions(ctx, &artifact.VersionsRequest{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = s.GetArtifactVersion(ctx, &artifact.GetArtifactVersionRequest{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	for range store.List(ctx, artifacts.Query{}) {
		t.Fatal("something was stored")
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Save(gone, &artifact.SaveRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Part: part})
	require.ErrorIs(t, err, context.Canceled)
}

// What else may be done to a version in the store counts here too.
func TestTheStoreHasTheLastWord(t *testing.T) {
	var store artifacts.InMemory
	s := adk.NewArtifacts(&store, &adk.ArtifactOptions{Tenant: "acme"})
	for i := range 3 {
		save(t, s, "s", "f", genai.NewPartFromText(fmt.Sprint(i+1)))
	}
	save(t, s, "s", "user:g", genai.NewPartFromText("g"))
	name := artifacts.Name{Tenant: "acme", Path: "adk/app/ada/s/s/f"}
	_, err := store.Apply(t.Context(), name,
		artifacts.Quarantine{Version: 3, Reason: "bad"}, artifacts.Pin{Version: 1, By: "legal"}, artifacts.Note{Version: 2, Tags: map[string]string{"k": "v"}})
	require.NoError(t, err)
	require.Equal(t, "2", load(t, s, "s", "f", 0).Text)
	require.Equal(t, "3", load(t, s, "s", "f", 3).Text)
	require.ErrorIs(t, s.Delete(t.Context(), &artifact.DeleteRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f"}), artifacts.ErrConflict)

	resp, err := s.GetArtifactVersion(t.Context(), &artifact.GetArtifactVersionRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f"})
	require.NoError(t, err)
	v, err := store.Resolve(t.Context(), artifacts.Ref{Name: name, Number: 2})
	require.NoError(t, err)
	require.Equal(t, &artifact.ArtifactVersion{Version: 2, CreateTime: v.Created, MimeType: "text/plain", CustomMetadata: map[string]any{"k": "v"}}, resp.ArtifactVersion)
	require.Equal(t, adk.ArtifactKind, v.Kind)

	gone, err := artifacts.Forget(t.Context(), &store, "acme", "ada")
	require.NoError(t, err)
	require.Equal(t, 4, gone)
	require.Empty(t, listed(t, s, "s"))
}

func TestAPartFromANewerVersionIsAClearError(t *testing.T) {
	var store artifacts.InMemory
	for i, text := range []string{`{"adk":2,"part":{}}`, `{"adk":1`, `{"adk":1,"part":[]}`} {
		_, err := store.Publish(t.Context(), artifacts.Name{Path: "adk/app/ada/s/s/f"}, artifacts.Files(map[string][]byte{"content": nil, "part.json": []byte(text)}), nil)
		require.NoError(t, err)
		_, err = adk.NewArtifacts(&store, nil).Load(t.Context(), &artifact.LoadRequest{AppName: "app", UserID: "ada", SessionID: "s", FileName: "f", Version: int64(i + 1)})
		require.ErrorIs(t, err, artifacts.ErrCorrupt)
	}
}
