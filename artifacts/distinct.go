package artifacts

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/internal/pathfold"
)

// Distinct reports an error that matches [ErrInvalid] if two paths are one to a file
// system that does not tell cases or normal forms of Unicode apart, such as those of
// Windows and macOS: where such a version is brought onto one, a file would silently
// take the place of another. So is a file whose path is that of a folder of others.
func Distinct(files []FileInfo) error {
	// By hashes of folded paths: a number for each of many files, not a text.
	all := make([]foldedPath, 0, len(files))
	for i, f := range files {
		all = append(all, foldedPath{hashOf(f.Path), int32(i)})
	}
	slices.SortFunc(all, func(a, b foldedPath) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.file, b.file)) })
	for i := range all[:max(len(all)-1, 0)] {
		for j := i + 1; j < len(all) && all[j].hash == all[i].hash; j++ {
			if err := alike(files[all[i].file].Path, files[all[j].file].Path); err != nil {
				return err
			}
		}
	}
	return foldersApart(files, all)
}

// foldersApart reports a folder whose path is that of a file.
func foldersApart(files []FileInfo, all []foldedPath) error {
	last := "."
	for _, f := range files {
		if path.Dir(f.Path) == last {
			continue
		}
		last = path.Dir(f.Path)
		for dir := last; dir != "."; dir = path.Dir(dir) {
			if err := fileLike(dir, files, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileLike reports a file whose path is that of a folder.
func fileLike(dir string, files []FileInfo, all []foldedPath) error {
	hash := hashOf(dir)
	i, _ := slices.BinarySearchFunc(all, hash, func(p foldedPath, hash uint64) int { return cmp.Compare(p.hash, hash) })
	for ; i < len(all) && all[i].hash == hash; i++ {
		if err := alike(files[all[i].file].Path, dir); err != nil {
			return err
		}
	}
	return nil
}

// A foldedPath is a hash of the folded path of a file, by its number.
type foldedPath struct {
	hash uint64
	file int32
}

func hashOf(path string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, pathfold.Fold(path)) // never fails
	return h.Sum64()
}

func alike(a, b string) error {
	if pathfold.Fold(a) != pathfold.Fold(b) {
		return nil // two texts of one hash
	}
	if strings.EqualFold(a, b) {
		return fmt.Errorf("%w: paths %.200q and %.200q differ by case alone, or not at all: some file systems have one file for both", ErrInvalid, a, b)
	}
	return fmt.Errorf("%w: paths %.200q and %.200q differ by the form of their characters alone: some file systems have one file for both", ErrInvalid, a, b)
}
