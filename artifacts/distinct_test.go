package artifacts_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func TestPathsThatAreOneToSomeFileSystemAreRefused(t *testing.T) {
	var store artifacts.InMemory
	for _, paths := range [][]string{
		{"README.md", "readme.md"}, {"d/x", "D/X"}, {"caf\u00e9", "cafe\u0301"}, {"A", "a/b"}, {"x/caf\u00e9/y", "x/CAFE\u0301"}, {"\u212b", "\u00e5", "other"},
	} {
		files := fstest.MapFS{}
		for _, p := range paths {
			files[p] = &fstest.MapFile{Data: []byte(p)}
		}
		_, err := store.Publish(t.Context(), lake, files, nil)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%q", paths)
		_, err = store.Resolve(t.Context(), artifacts.Ref{Name: lake})
		require.ErrorIs(t, err, artifacts.ErrNotFound, "nothing is visible")
		// Each part of a rank is well formed, so it is their union that is not.
		for rank, p := range paths {
			_, err = store.Publish(t.Context(), lake, artifacts.Files(texts(p, p)), &artifacts.PublishOptions{ID: paths[0], Ranks: len(paths), Rank: rank})
			if rank < len(paths)-1 {
				require.NoError(t, err)
			}
		}
		require.ErrorIs(t, err, artifacts.ErrConflict)
	}
	for _, paths := range [][]string{{"d/x", "D/y"}, {"caf\u00e9", "cafe"}, {"a", "b/a"}, {"a.b", "a/b"}} {
		files := fstest.MapFS{}
		for _, p := range paths {
			files[p] = &fstest.MapFile{}
		}
		_, err := store.Publish(t.Context(), artifacts.Name{Path: "fine"}, files, nil)
		require.NoError(t, err, "%q", paths)
	}
}

func TestManyPathsAreTold(t *testing.T) {
	files := make([]artifacts.FileInfo, artifacts.MaxFiles)
	for i := range files {
		files[i].Path = fmt.Sprintf("folder-%03d/part-%06d.safetensors", i/100, i)
	}
	require.NoError(t, artifacts.Distinct(files))
	require.Less(t, testing.AllocsPerRun(1, func() { require.NoError(t, artifacts.Distinct(files)) }), 4*float64(len(files)))
	files[70_000].Path = "FOLDER-000/part-000007.safetensors"
	require.ErrorIs(t, artifacts.Distinct(files), artifacts.ErrInvalid)
}
