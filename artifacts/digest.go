package artifacts

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// LeafSize is the bytes of a file under one leaf of its digest.
const LeafSize = 16 << 20

const (
	digestPrefix = "sha256:"
	treePrefix   = "sha256t16m:"
)

// A Digest computes the digest of a file as it is written to: SHA-256 over the
// leaf size and the file size, as 64-bit big-endian numbers, and the SHA-256 of
// each leaf of [LeafSize] bytes. Leaves can be hashed in parallel, and verify a
// range without the rest.
type Digest struct {
	leaf   hash.Hash
	inLeaf int
	size   int64
	leaves []byte // digests of full leaves
}

// NewDigest returns the digest of an empty file.
func NewDigest() *Digest { return &Digest{leaf: sha256.New()} }

// Write implements io.Writer. It never fails.
func (d *Digest) Write(p []byte) (int, error) {
	n := len(p)
	d.size += int64(n)
	for len(p) > 0 {
		k := min(len(p), LeafSize-d.inLeaf)
		d.leaf.Write(p[:k])
		d.inLeaf += k
		p = p[k:]
		if d.inLeaf == LeafSize {
			d.leaves = d.leaf.Sum(d.leaves)
			d.leaf.Reset()
			d.inLeaf = 0
		}
	}
	return n, nil
}

// Leaves returns the digests of the leaves of what was written, the last of
// which may be short. An empty file has none.
func (d *Digest) Leaves() [][sha256.Size]byte {
	all := slices.Clone(d.leaves)
	if d.inLeaf > 0 {
		all = d.leaf.Sum(all)
	}
	out := make([][sha256.Size]byte, 0, len(all)/sha256.Size)
	for leaf := range slices.Chunk(all, sha256.Size) {
		out = append(out, [sha256.Size]byte(leaf))
	}
	return out
}

// String returns the digest of what was written so far, as "sha256t16m:" and 64
// hexadecimal digits.
func (d *Digest) String() string { return TreeDigest(d.size, d.Leaves()) }

// TreeDigest returns the digest of a file of size bytes from those of its
// leaves.
func TreeDigest(size int64, leaves [][sha256.Size]byte) string {
	h := sha256.New()
	head := binary.BigEndian.AppendUint64(nil, LeafSize)
	h.Write(binary.BigEndian.AppendUint64(head, uint64(size)))
	for _, leaf := range leaves {
		h.Write(leaf[:])
	}
	return treePrefix + hex.EncodeToString(h.Sum(nil))
}

// ContentDigest returns the digest of a version with these files: "sha256:" and
// 64 hexadecimal digits, of SHA-256 over a line "digest size media-type path" for
// each file in the order of paths. Media type and path are quoted as %+q does it,
// which needs no table of Unicode that a later Go might change. Two versions with
// the same files have the same digest.
func ContentDigest(files []FileInfo) string {
	files = slices.SortedFunc(slices.Values(files), func(a, b FileInfo) int { return cmp.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, f := range files {
		_, _ = fmt.Fprintf(h, "%s %d %+q %+q\n", f.Digest, f.Size, f.MediaType, f.Path)
	}
	return digestPrefix + hex.EncodeToString(h.Sum(nil))
}

func validateDigest(s, prefix string) error {
	digits, ok := strings.CutPrefix(s, prefix)
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != sha256.Size || strings.ToLower(s) != s {
		return fmt.Errorf("%w: digest %.100q: %s and %d hexadecimal digits", ErrInvalid, s, prefix, 2*sha256.Size)
	}
	return nil
}
