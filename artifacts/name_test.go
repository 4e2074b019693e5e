package artifacts_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func TestNamesAreValidAsDocumented(t *testing.T) {
	seg := strings.Repeat("a", artifacts.MaxSegment)
	for name, valid := range map[artifacts.Name]bool{
		{Path: "a"}: true, {Path: "a/b-c/D_9.x"}: true, {Tenant: "t", Path: "ä ö"}: true, {Path: "..."}: true, {Path: seg}: true,
		{Path: "a\u200bb"}: true, {Path: strings.Join([]string{seg, seg, seg, seg[4:]}, "/") + "a"}: true,
		{}: false, {Tenant: "t"}: false, {Path: "/a"}: false, {Path: "a/"}: false, {Path: "a//b"}: false, {Path: "."}: false, {Path: "a/.."}: false,
		{Path: seg + "a"}: false, {Tenant: "a/b", Path: "a"}: false, {Tenant: "..", Path: "a"}: false, {Path: "a\tb"}: false, {Path: "\xff"}: false,
		{Path: strings.Join([]string{seg, seg, seg, seg[3:]}, "/") + "a"}: false, {Tenant: seg, Path: strings.Join([]string{seg, seg, seg}, "/")}: false,
		{Path: strings.Repeat("é", 64) + "/" + strings.Repeat("é", 22)}: false,
	} {
		err := name.Validate()
		if valid {
			require.NoError(t, err, "%q", name)
		} else {
			require.ErrorIs(t, err, artifacts.ErrInvalid, "%q", name)
		}
	}
}

func TestParseRefReadsWhatItSays(t *testing.T) {
	digest := artifacts.ContentDigest(nil)
	for text, want := range map[string]artifacts.Ref{
		"llm/ranker@42":         {Number: 42},
		"llm/ranker@010":        {Number: 10},
		"llm/ranker@production": {Alias: "production"},
		"llm/ranker@" + digest:  {Digest: digest},
		"llm/ranker@latest":     {},
		"llm/ranker":            {},
	} {
		want.Name = artifacts.Name{Tenant: "lab", Path: "llm/ranker"}
		got, err := artifacts.ParseRef("lab", text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	got, err := artifacts.ParseRef("", "a@b@7")
	require.NoError(t, err)
	require.Equal(t, artifacts.Ref{Name: artifacts.Name{Path: "a@b"}, Number: 7}, got, "the last @ counts")
	for _, text := range []string{"", "@", "a@", "@7", "a@0", "a@99999999999999999999", "a@sha256:1", "a@b/c", "a@..", "a//b@7", "a@" + strings.ToUpper(digest[7:]) + ":"} {
		got, err := artifacts.ParseRef("lab", text)
		require.ErrorIs(t, err, artifacts.ErrInvalid, text)
		require.Zero(t, got, text)
	}
}

func FuzzRefsAreReadAsTheyAreWritten(f *testing.F) {
	f.Add("lab", "llm/ranker", int64(42), "", "")
	f.Add("", "a@b", int64(0), "production", "")
	f.Add("", "a", int64(0), "", artifacts.ContentDigest(nil))
	f.Fuzz(func(t *testing.T, tenant, path string, number int64, alias, digest string) {
		ref := artifacts.Ref{Name: artifacts.Name{Tenant: tenant, Path: path}, Number: number, Alias: alias, Digest: digest}
		if ref.Validate() != nil {
			return
		}
		got, err := artifacts.ParseRef(tenant, ref.String())
		require.NoError(t, err)
		require.Equal(t, ref, got)
		id := artifacts.ID{Name: ref.Name, Number: 7}
		got, err = artifacts.ParseRef(tenant, id.String())
		require.NoError(t, err)
		require.Equal(t, artifacts.Ref{Name: id.Name, Number: 7}, got)
	})
}

func FuzzParsedRefsAreValid(f *testing.F) {
	f.Add("lab", "llm/ranker@42")
	f.Fuzz(func(t *testing.T, tenant, text string) {
		ref, err := artifacts.ParseRef(tenant, text)
		if err != nil {
			require.ErrorIs(t, err, artifacts.ErrInvalid)
			return
		}
		require.NoError(t, ref.Validate())
		again, err := artifacts.ParseRef(tenant, ref.String())
		require.NoError(t, err)
		require.Equal(t, ref, again)
	})
}

func TestMediaTypesAreTheSameOnEveryMachine(t *testing.T) {
	for path, want := range map[string]string{
		"a.json": "application/json", "d.e/A.JSON": "application/json", "x.tar.gz": "application/gzip", "notes.md": "text/markdown; charset=utf-8",
		"model.safetensors": "application/octet-stream", "noext": "application/octet-stream", ".json": "application/json", "a.": "application/octet-stream",
	} {
		require.Equal(t, want, artifacts.MediaType(path), path)
	}
}
