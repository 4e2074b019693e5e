package artifacts_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

// byDefinition is the digest as its documentation says it.
func byDefinition(data []byte) string {
	var leaves []byte
	for at := 0; at < len(data); at += artifacts.LeafSize {
		sum := sha256.Sum256(data[at:min(at+artifacts.LeafSize, len(data))])
		leaves = append(leaves, sum[:]...)
	}
	head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, artifacts.LeafSize), uint64(len(data)))
	return fmt.Sprintf("sha256t16m:%x", sha256.Sum256(append(head, leaves...)))
}

func TestADigestIsWhatItsDocumentationSays(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdefg"), (artifacts.LeafSize+1000)/17) // two leaves, the second short
	for _, data := range [][]byte{nil, []byte("x"), big[:artifacts.LeafSize-1], big[:artifacts.LeafSize], big[:artifacts.LeafSize+1], big} {
		d := artifacts.NewDigest()
		_, _ = d.Write(data)
		require.Equal(t, byDefinition(data), d.String(), "%d bytes", len(data))
		require.Len(t, d.Leaves(), (len(data)+artifacts.LeafSize-1)/artifacts.LeafSize)
		require.Equal(t, d.String(), artifacts.TreeDigest(int64(len(data)), d.Leaves()))
	}
	// In uneven pieces, across the border of a leaf.
	d := artifacts.NewDigest()
	for rest, i := big, 1; len(rest) > 0; i++ {
		n := min(len(rest), i*99_991%1_000_003+1)
		_, _ = d.Write(rest[:n])
		rest = rest[n:]
	}
	require.Equal(t, byDefinition(big), d.String())
}

func FuzzADigestDoesNotDependOnHowItIsWritten(f *testing.F) {
	f.Add([]byte("hello"), 2)
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		at = int(uint(at) % uint(len(data)+1))
		d := artifacts.NewDigest()
		_, _ = d.Write(data[:at])
		_ = d.String() // looking changes nothing
		_, _ = d.Write(data[at:])
		require.Equal(t, byDefinition(data), d.String())
	})
}

func TestAContentDigestIsOfPathsInOrderAndCannotBeForged(t *testing.T) {
	a, b := artifacts.FileInfo{Path: "a", Digest: "d1", Size: 1, MediaType: "m"}, artifacts.FileInfo{Path: "b", Digest: "d2", Size: 2}
	sum := sha256.Sum256([]byte("d1 1 \"m\" \"a\"\nd2 2 \"\" \"b\"\n"))
	require.Equal(t, fmt.Sprintf("sha256:%x", sum), artifacts.ContentDigest([]artifacts.FileInfo{b, a}))
	odd := artifacts.FileInfo{Path: "ä/\u2028", Digest: "d", MediaType: "é"}
	sum = sha256.Sum256([]byte(`d 0 "\u00e9" "\u00e4/\u2028"` + "\n"))
	require.Equal(t, fmt.Sprintf("sha256:%x", sum), artifacts.ContentDigest([]artifacts.FileInfo{odd}))
	list := []artifacts.FileInfo{b, a}
	artifacts.ContentDigest(list)
	require.Equal(t, []artifacts.FileInfo{b, a}, list, "the argument keeps its order")

	forged := a
	forged.Path = "a\"\nd2 2 \"\" \"b"
	require.NotEqual(t, artifacts.ContentDigest(list), artifacts.ContentDigest([]artifacts.FileInfo{forged}))
	a.URI = "s3://elsewhere"
	require.Equal(t, artifacts.ContentDigest(list), artifacts.ContentDigest([]artifacts.FileInfo{a, b}), "where bytes lie is no content")
	require.True(t, strings.HasPrefix(artifacts.ContentDigest(nil), "sha256:"))
}
