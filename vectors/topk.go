package vectors

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// A hit is a row that a search found.
type hit struct {
	distance float64
	key      string
	row      uint32
}

// compare orders hits nearest first, those at one distance by key, so that the
// answer depends on neither the order of rows nor the number of processors.
func (h hit) compare(other hit) int {
	return cmp.Or(cmp.Compare(h.distance, other.distance), strings.Compare(h.key, other.key))
}

// topK keeps the k first hits in a heap with the last of them at its root.
type topK struct {
	hits []hit
	k    int
}

// worst is the distance beyond which a hit has no place.
func (t *topK) worst() float64 {
	if len(t.hits) < t.k {
		return math.Inf(1)
	}
	return t.hits[0].distance
}

func (t *topK) push(h hit) {
	if len(t.hits) < t.k {
		t.hits = append(t.hits, h)
		t.up(len(t.hits) - 1)
		return
	}
	if h.compare(t.hits[0]) < 0 {
		t.hits[0] = h
		t.down()
	}
}

func (t *topK) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if t.hits[parent].compare(t.hits[i]) >= 0 {
			return
		}
		t.hits[parent], t.hits[i] = t.hits[i], t.hits[parent]
		i = parent
	}
}

func (t *topK) down() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(t.hits) {
			return
		}
		if right := child + 1; right < len(t.hits) && t.hits[right].compare(t.hits[child]) > 0 {
			child = right
		}
		if t.hits[i].compare(t.hits[child]) >= 0 {
			return
		}
		t.hits[i], t.hits[child] = t.hits[child], t.hits[i]
		i = child
	}
}

// sorted returns the k first hits of all scanners.
func sorted(scanners []scanner, k int) []hit {
	var all []hit
	for i := range scanners {
		all = append(all, scanners[i].top.hits...)
	}
	slices.SortFunc(all, hit.compare)
	return all[:min(k, len(all))]
}
