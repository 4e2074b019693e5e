package s3artifacts

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func FuzzNameOfAKey(f *testing.F) {
	f.Add("acme", "llm/ranker")
	f.Add("", "ü/=41/ =")
	f.Add("=", "log/snap/..x")
	f.Fuzz(func(t *testing.T, tenant, path string) {
		s, err := New(noClient{}, "bucket", &Options{Root: "root"})
		require.NoError(t, err)
		name := artifacts.Name{Tenant: tenant, Path: path}
		if name.Validate() != nil {
			return
		}
		key := s.markerKey(name)
		require.LessOrEqual(t, len(s.base(name))+len("b/00/")+64+1+26, 1024-4)
		below, found := strings.CutPrefix(key, s.rooted("n", tenantSegment(tenant))+"/")
		require.True(t, found)
		back, err := nameOf(tenant, below)
		require.NoError(t, err)
		require.Equal(t, name, back)
		// Nothing of one name is below another.
		require.Equal(t, 1, strings.Count(strings.TrimPrefix(s.base(name), s.rooted("a", tenantSegment(tenant))), "/=/"))
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add("a=2Fb")
	f.Add("=")
	f.Add("=2f")
	f.Fuzz(func(t *testing.T, segment string) {
		if plain, err := unescape(segment); err == nil {
			require.Equal(t, segment, escape(plain))
		} else {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	r, err := (&fold{}).own(artifacts.Record{Time: time.Unix(0, 0), ID: "x", Content: contentSum(nil)})
	require.NoError(f, err)
	e := entry{Nonce: "n", Record: r, Condemn: &list{Digest: contentSum(nil)}}
	text, err := e.encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"schema":"genaistore/artifacts/log/v1"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decodeEntry(text)
		if err != nil {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
			return
		}
		require.Equal(t, contentSum(text), e.digest)
		again, err := e.encode()
		require.NoError(t, err)
		back, err := decodeEntry(again)
		require.NoError(t, err)
		require.Equal(t, e.Record.Digest, back.Record.Digest)
		_ = newFold().add(e, nil) // whatever it says, it is taken or refused
	})
}

func FuzzDecodeFiles(f *testing.F) {
	text, err := encodeFiles([]file{{artifacts.FileInfo{Path: "a", Size: 1, Digest: "d", MediaType: "m"}, &blob{Key: "b/00/x", Version: "v", Leaves: bytes.Repeat([]byte("x"), 64)}}})
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := decodeFiles(text)
		if err != nil {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
			return
		}
		again, err := encodeFiles(files)
		require.NoError(t, err)
		back, err := decodeFiles(again)
		require.NoError(t, err)
		once, err := encodeFiles(back)
		require.NoError(t, err)
		require.Equal(t, string(again), string(once))
	})
}

func FuzzDecodePart(f *testing.F) {
	text, err := encodePart(part{base: 3, files: []file{{artifacts.FileInfo{Path: "a"}, &blob{Key: "b/00/x"}}}, opts: artifacts.PublishOptions{
		Kind: artifacts.Model, Owner: "me", With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}, artifacts.Pin{By: "x"}},
	}})
	require.NoError(f, err)
	one, err := decodePart(text, 0)
	require.NoError(f, err)
	require.Equal(f, []artifacts.Change{artifacts.SetAlias{Alias: "live"}, artifacts.Pin{By: "x"}}, one.opts.With)
	require.Equal(f, int64(3), one.base)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		one, err := decodePart(text, 0)
		if err != nil {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
			return
		}
		_, err = encodePart(one)
		require.NoError(t, err)
	})
}

func FuzzUnseal(f *testing.F) {
	name := artifacts.Name{Path: "x"}
	text, err := newFold().seal(0)
	require.NoError(f, err)
	f.Add(text)
	short, err := newFold().seal(1)
	require.NoError(f, err)
	f.Add(short)
	f.Fuzz(func(t *testing.T, text []byte) {
		_, back, err := unseal(text, name)
		if err != nil {
			require.ErrorIs(t, err, artifacts.ErrCorrupt)
			return
		}
		if back != nil {
			again, err := back.seal(0)
			require.NoError(t, err)
			require.True(t, json.Valid(again))
		}
	})
}
